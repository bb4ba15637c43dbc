-- retire_call_days.sql: deletes a batch of day counts of calls.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from day_count t
 where t.ctid = any (array(
       select o.ctid
         from day_count o
        where o.day < ((select clock()) at time zone 'Asia/Shanghai')::date - $1::int
        limit $2))
