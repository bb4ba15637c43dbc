-- intend_take.sql: takes messages from the day's cap. The row is locked already (intend_day.sql).
-- $1 platform, $2 purpose, $3 day of platform time, $4 messages
update message_day
   set used = used + $4
 where platform_id = $1
   and purpose = $2
   and day = $3
