-- token_lost.sql: a refresh token that is missing or was refused for good.
-- $1 platform, $2 appid, $3 fence, $4 reason
update credential
   set leased_until = null,
       access_sealed = null,
       access_expires_at = null,
       lost_reason = $4
 where platform_id = $1
   and appid = $2
   and fence = $3
