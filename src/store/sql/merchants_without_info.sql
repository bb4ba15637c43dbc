-- merchants_without_info.sql: merchants that WeChat has not been asked about, in key order.
-- $1 platform, $2 the last appid of the batch before, $3 merchants at most, $4 only those of unknown kind that WeChat was
-- not asked about in vain within the last hour
select appid
  from merchant
 where platform_id = $1
   and appid > $2
   and info_at is null
   and withdrawn_at is null
   and (not $4 or kind = 'unknown' and (info_tried_at is null or info_tried_at < clock() - interval '1 hour'))
 order by appid
 limit $3
