-- recovery_wake.sql: planning looks again at merchants that stand as lost although their refresh token is back: whoever
-- read it back may have planned before another process had recorded the loss. Served by item_without_token.
-- $1 platform
update merchant m
   set plan_stale = true
  from credential c
 where m.platform_id = $1
   and m.appid in (select i.appid from item i where i.platform_id = $1 and i.reason = 'token_lost')
   and c.platform_id = m.platform_id
   and c.appid = m.appid
   and c.refresh_sealed is not null
   and c.lost_reason is null
