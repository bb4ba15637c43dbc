-- callback_current_content.sql: the current intervals of the merchants whose configuration changed.
-- $1 platform, $2 appids
select appid, state, config
  from callback_snapshot
 where platform_id = $1
   and appid = any ($2)
   and valid_to is null
