-- retire_pushes.sql: deletes a batch of taken pushes that are too old to be replayed: their timestamps are refused.
-- $1 their age in hours, $2 rows at most. May be repeated.
delete from taken_push t
 where t.ctid = any (array(
       select o.ctid
         from taken_push o
        where o.taken_at < (select clock()) - make_interval(hours => $1)
        limit $2))
