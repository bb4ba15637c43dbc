-- retire_callback_snapshots.sql: deletes a batch of intervals that ended long ago; a current one stays.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from callback_snapshot t
 where t.ctid = any (array(
       select o.ctid
         from callback_snapshot o
        where o.valid_to < (select clock()) - make_interval(days => $1)
        limit $2))
