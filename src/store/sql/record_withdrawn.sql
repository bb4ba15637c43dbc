-- record_withdrawn.sql: merchants that answered that they are not authorized: their tokens go, planning follows.
-- $1 platform, $2 appids. Locks the merchants in key order.
with gone as materialized (
  select platform_id, appid
    from merchant
   where platform_id = $1
     and appid = any ($2)
     and withdrawn_at is null
   order by platform_id, appid
     for no key update
), marked as (
  update merchant m
     set withdrawn_at = clock(),
         plan_stale = true
    from gone g
   where m.platform_id = g.platform_id
     and m.appid = g.appid
)
update credential c
   set access_sealed = null,
       access_expires_at = null,
       refresh_sealed = null,
       leased_until = null,
       fence = c.fence + 1
  from gone g
 where c.platform_id = g.platform_id
   and c.appid = g.appid
