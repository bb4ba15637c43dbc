-- merchants_known.sql: which of a few appids are known merchants, of which kind, and withdrawn or not.
-- $1 platform, $2 appids
select appid, kind, withdrawn_at is not null as withdrawn
  from merchant
 where platform_id = $1
   and appid = any ($2)
