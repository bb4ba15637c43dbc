-- event_tokens.sql: the tokens that came with an authorization, over older ones in one update. A refresher that is under
-- way with the older refresh token stores nothing any more.
-- $1 platform, $2 appid, $3 access token, sealed, or null, $4 good for seconds, or null, $5 refresh token, sealed, or null
insert into credential as c (platform_id, appid, access_sealed, access_expires_at, version, refresh_sealed, refresh_version, refresh_at)
select $1, $2, $3::bytea, clock() + make_interval(secs => $4), ($3 is not null)::int,
       $5::bytea, ($5 is not null)::int, case when $5 is not null then clock() end
on conflict (platform_id, appid) do update
   set access_sealed = excluded.access_sealed,
       access_expires_at = excluded.access_expires_at,
       version = c.version + 1,
       refresh_sealed = coalesce(excluded.refresh_sealed, c.refresh_sealed),
       refresh_version = c.refresh_version + excluded.refresh_version,
       refresh_at = coalesce(excluded.refresh_at, c.refresh_at),
       fence = c.fence + 1,
       leased_until = null,
       failures = 0,
       cool_until = null,
       failure_reason = null,
       failure_errcode = null,
       lost_reason = null
