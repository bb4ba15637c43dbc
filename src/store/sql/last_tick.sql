-- last_tick.sql: the newest tick of a schedule that any process has seen.
-- $1 platform, $2 schedule
select max(fire_at) from run where platform_id = $1 and schedule = $2
