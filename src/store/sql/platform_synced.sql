-- platform_synced.sql: a sync of the platform's merchants came to its end.
-- $1 platform
update platform set synced_at = clock() where platform_id = $1
