-- merchant_any.sql: any merchant that is not withdrawn.
-- $1 platform
select appid
  from merchant
 where platform_id = $1
   and withdrawn_at is null
 order by appid
 limit 1
