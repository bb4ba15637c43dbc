-- merchants_unreadable.sql: WeChat was asked about these merchants in vain.
-- $1 platform, $2 appids
update merchant
   set info_tried_at = clock()
 where platform_id = $1
   and appid = any ($2)
