-- event_withdraws.sql: the order of a merchant's events goes on; its withdrawal itself is record_withdrawn.sql. A
-- merchant that nobody knew stays unknown.
-- $1 platform, $2 appid, $3 WeChat's CreateTime
update merchant
   set event_at = $3,
       word_at = clock()
 where platform_id = $1
   and appid = $2
