-- recovery_wake.sql: planning looks again at merchants that wait for a reading of the list, when one has brought their
-- refresh token or none; and at those that stand as lost although their token is back: whoever read it back may have
-- planned before another process had recorded the loss. Served by item_recovering and item_without_token.
-- $1 platform
with waiting as (
  select i.appid, true as unproven
    from item i
   where i.platform_id = $1
     and i.reason = 'token_recovering'
     and i.leased_by is null
     and i.due_at > clock()
  union all
  select i.appid, false
    from item i
   where i.platform_id = $1
     and i.reason = 'token_lost'
     and i.leased_by is null
)
update merchant m
   set plan_stale = true
  from waiting w,
       credential c
 where m.platform_id = $1
   and m.appid = w.appid
   and c.platform_id = m.platform_id
   and c.appid = m.appid
   and (c.lost_reason is null and c.refresh_sealed is not null
        or w.unproven
       and c.lost_reason is not null
       and (c.lost_at is null
            or exists (select from recovery r where r.platform_id = c.platform_id and r.complete_at >= c.lost_at)))
