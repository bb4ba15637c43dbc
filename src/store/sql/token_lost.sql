-- token_lost.sql: a refresh token that is missing or was refused for good. Answers whether it is still the stored one:
-- when another was learnt meanwhile, the refusal says nothing about that one, and only the lease goes back.
-- $1 platform, $2 appid, $3 fence, $4 reason, $5 version of the refresh token that was refused
update credential
   set leased_until = null,
       access_sealed = case when refresh_version = $5 then null else access_sealed end,
       access_expires_at = case when refresh_version = $5 then null else access_expires_at end,
       lost_reason = case when refresh_version = $5 then $4 else lost_reason end,
       lost_at = case when refresh_version = $5 then clock() else lost_at end,
       losses = losses + (refresh_version = $5)::int
 where platform_id = $1
   and appid = $2
   and fence = $3
returning refresh_version = $5
