-- record_withdrawn.sql: merchants that answered that they are not authorized: their tokens go, planning follows.
-- $1 platform, $2 appids
with gone as (
  update merchant
     set withdrawn_at = clock(),
         plan_stale = true
   where platform_id = $1
     and appid = any ($2)
     and withdrawn_at is null
  returning platform_id, appid
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
