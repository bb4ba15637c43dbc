-- event_tokens.sql: the tokens that came with an authorization, over older ones in one update. A refresher that is under
-- way with the older refresh token stores nothing any more.
-- $1 platform, $2 appid, $3 access token, sealed, or null, $4 good for seconds, or null, $5 refresh token, sealed, or null
insert into credential as c (platform_id, appid, access_sealed, access_expires_at, refresh_sealed, version)
values ($1, $2, $3, clock() + make_interval(secs => $4), $5, case when $3::bytea is null then 0 else 1 end)
on conflict (platform_id, appid) do update
   set access_sealed = excluded.access_sealed,
       access_expires_at = excluded.access_expires_at,
       refresh_sealed = coalesce(excluded.refresh_sealed, c.refresh_sealed),
       version = c.version + 1,
       fence = c.fence + 1,
       leased_until = null,
       failures = 0,
       cool_until = null,
       failure_reason = null,
       lost_reason = null
