-- intend_take.sql: takes one from the day's cap. The row is locked already (intend_day.sql).
-- $1 platform, $2 purpose, $3 day of platform time
update message_day
   set used = used + 1
 where platform_id = $1
   and purpose = $2
   and day = $3
