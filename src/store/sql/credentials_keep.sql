-- credentials_keep.sql: refresh tokens from the authorizer list, an event or a file. A refresh token that differs ends a
-- loss, and lets planning look again. One that was read before the stored one was learnt is older, and is not kept; nor is one
-- that was asked for before the merchant took its authorization back, or gave it.
-- $1 platform, arrays: $2 appid, $3 refresh token, sealed, $4 whether it differs from the stored one, $5 when it was
-- read (null: now). Rows are written in key order.
with kept as (
  insert into credential as c (platform_id, appid, refresh_sealed, refresh_version, refresh_at)
  select $1, s.appid, s.refresh_sealed, 1, coalesce(s.read_at, clock())
    from unnest($2::text[], $3::bytea[], $4::boolean[], $5::timestamptz[]) as s (appid, refresh_sealed, differs, read_at)
   where s.differs
     and not exists (select from merchant m
                      where m.platform_id = $1
                        and m.appid = s.appid
                        and m.word_at > s.read_at)
   order by s.appid
  on conflict (platform_id, appid) do update
     set refresh_sealed = excluded.refresh_sealed,
         refresh_version = c.refresh_version + 1,
         refresh_at = excluded.refresh_at,
         lost_reason = null,
         failures = 0,
         cool_until = null,
         failure_reason = null,
         failure_errcode = null
   where c.refresh_sealed is null
      or c.lost_reason is not null
      or c.refresh_at is null
      or c.refresh_at <= excluded.refresh_at
  returning c.platform_id, c.appid
)
update merchant m
   set plan_stale = true
  from kept k
 where m.platform_id = k.platform_id
   and m.appid = k.appid
