-- merchant_forget.sql: erases a withdrawn merchant's names and its failed calls, in whose words a name may stand. Its appid, its
-- intents and its history stay.
-- $1 platform, $2 appid
-- No row: there is no such merchant, or it still is authorized. Locks the merchant, as planning does.
with forgotten as (
  update merchant
     set nickname = null,
         principal = null
   where platform_id = $1
     and appid = $2
     and withdrawn_at is not null
  returning platform_id, appid
), erased as (
  delete from failure f
   using forgotten g
   where f.platform_id = g.platform_id
     and f.appid = g.appid
)
select (select count(*) from intent i where i.platform_id = g.platform_id and i.appid = g.appid) as intents from forgotten g
