-- retire_message_days.sql: deletes a batch of day counts of messages.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from message_day t
 where t.ctid = any (array(
       select o.ctid
         from message_day o
        where o.day < ((select clock()) at time zone 'Asia/Shanghai')::date - $1::int
        limit $2))
