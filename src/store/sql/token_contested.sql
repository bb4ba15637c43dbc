-- token_contested.sql: a token was refused long before its end although nobody here had refreshed it. Each token is
-- booked once; after 30 days without, the row of such refusals begins anew.
-- $1 platform, $2 appid, $3 version of the refused token
update credential
   set contested_version = $3,
       contested_since = case when contested_at > clock() - interval '30 days' then contested_since else clock() end,
       contested_count = case when contested_at > clock() - interval '30 days' then contested_count + 1 else 1 end,
       contested_at = clock()
 where platform_id = $1
   and appid = $2
   and (contested_version is null or contested_version < $3)
