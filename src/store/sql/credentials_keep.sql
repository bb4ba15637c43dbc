-- credentials_keep.sql: refresh tokens from the authorizer list or a file. A refresh token that differs ends a loss, and
-- lets planning look again.
-- $1 platform, arrays: $2 appid, $3 refresh token, sealed, $4 whether it differs from the stored one.
-- Rows are written in key order.
with kept as (
  insert into credential as c (platform_id, appid, refresh_sealed)
  select $1, s.appid, s.refresh_sealed
    from unnest($2::text[], $3::bytea[], $4::boolean[]) as s (appid, refresh_sealed, differs)
   where s.differs
   order by s.appid
  on conflict (platform_id, appid) do update
     set refresh_sealed = excluded.refresh_sealed,
         lost_reason = null,
         failures = 0,
         cool_until = null,
         failure_reason = null
  returning c.platform_id, c.appid
)
update merchant m
   set plan_stale = true
  from kept k
 where m.platform_id = k.platform_id
   and m.appid = k.appid
