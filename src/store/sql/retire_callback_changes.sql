-- retire_callback_changes.sql: deletes a batch of changes that are long past.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from callback_change t
 where t.ctid = any (array(
       select o.ctid
         from callback_change o
        where o.changed_at < (select clock()) - make_interval(days => $1)
        limit $2))
