-- token_refused.sql: an access token that WeChat refused while no other one could be bought goes, unless another is stored
-- meanwhile: nobody calls with it again.
-- $1 platform, $2 appid, $3 version of the refused token
update credential
   set access_sealed = null,
       access_expires_at = null
 where platform_id = $1
   and appid = $2
   and version = $3
