-- platform_enable.sql: patrols a platform, or leaves it alone. No row is changed: it was so already.
-- $1 platform, $2 whether it is patrolled
update platform set enabled = $2 where platform_id = $1 and enabled <> $2
