-- callback_close.sql: ends the current intervals of merchants whose configuration changed.
-- $1 platform, $2 appids, $3 the reading's time
update callback_snapshot
   set valid_to = $3
 where platform_id = $1
   and appid = any ($2)
   and valid_to is null
