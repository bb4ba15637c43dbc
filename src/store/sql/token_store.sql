-- token_store.sql: a refreshed token, over the old one in one update; an empty refresh token never overwrites a kept one.
-- $1 platform, $2 appid, $3 fence, $4 access token, sealed, $5 good for seconds, $6 refresh token, sealed, or null
update credential
   set access_sealed = $4,
       access_expires_at = clock() + make_interval(secs => $5),
       refresh_sealed = coalesce($6, refresh_sealed),
       version = version + 1,
       leased_until = null,
       failures = 0,
       cool_until = null,
       failure_reason = null,
       lost_reason = null
 where platform_id = $1
   and appid = $2
   and fence = $3
returning version
