-- holds.sql: the holds of a platform, oldest first; those whose time is over are gone with the next plan.
-- $1 platform
select appid, check_name, endpoint, schedule, reason, created_by, created_at, until
  from hold
 where platform_id = $1
 order by created_at, hold_id
