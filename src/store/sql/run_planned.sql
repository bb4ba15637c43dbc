-- run_planned.sql: the run's planning is complete. May be repeated.
-- $1 run
update run set planned_at = coalesce(planned_at, clock()) where run_id = $1
