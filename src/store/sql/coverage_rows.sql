-- coverage_rows.sql: the coverage of a run.
-- $1 run
select check_name, total, done, fresh, skipped, deferred, failed, reasons
  from coverage
 where run_id = $1
