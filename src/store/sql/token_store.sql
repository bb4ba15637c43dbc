-- token_store.sql: a refreshed token, over the old one in one update. A refresh token is stored with it when another
-- one came, and only over the one that was used: one that was learnt meanwhile is newer. An empty one never comes here.
-- $1 platform, $2 appid, $3 fence, $4 access token, sealed, $5 good for seconds, $6 refresh token, sealed, or null,
-- $7 version of the refresh token that was used, $8 whether a refusal had it bought
update credential
   set access_sealed = $4,
       access_expires_at = clock() + make_interval(secs => $5),
       refresh_sealed = case when $6::bytea is not null and refresh_version = $7 then $6 else refresh_sealed end,
       refresh_at = case when $6 is not null and refresh_version = $7 then clock() else refresh_at end,
       refresh_version = refresh_version + ($6 is not null and refresh_version = $7)::int,
       refused_at = case when $8 then clock() else refused_at end,
       version = version + 1,
       leased_until = null,
       failures = 0,
       cool_until = null,
       failure_reason = null,
       failure_errcode = null,
       lost_reason = null,
       losses = 0
 where platform_id = $1
   and appid = $2
   and fence = $3
returning version
