-- merchants_info_old.sql: a sync asks about every merchant again whose info is older than the sync's patience.
-- $1 platform, $2 patience in seconds
update merchant
   set info_at = null
 where platform_id = $1
   and withdrawn_at is null
   and info_at < clock() - make_interval(secs => $2)
