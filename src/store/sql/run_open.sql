-- run_open.sql: opens a run by hand.
-- $1 run, $2 platform, $3 checks, $4 merchants or null, $5 whether to make all due, $6 dry run, $7 deadline in seconds,
-- $8 process
insert into run (run_id, platform_id, checks, merchants, all_due, dry_run, started_at, deadline_at, started_by)
select $1, $2, $3, $4, $5, $6, m.now, m.now + make_interval(secs => $7), $8
  from (select clock() as now) m
