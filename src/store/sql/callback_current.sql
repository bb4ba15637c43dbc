-- callback_current.sql: the current intervals of a few merchants, without their content.
-- $1 platform, $2 appids. Not locked: the fenced claim is the only writer.
select appid, digest
  from callback_snapshot
 where platform_id = $1
   and appid = any ($2)
   and valid_to is null
