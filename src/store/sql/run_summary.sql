-- run_summary.sql: how a run stands.
-- $1 run
select state, reason from run where run_id = $1
