-- run_tick.sql: a tick becomes a run, once over all processes; while the last run of its schedule is still open the tick
-- is recorded as skipped.
-- $1 run, $2 platform, $3 schedule, $4 fire time, $5 checks, $6 deadline in seconds, $7 process
-- No row: another process was first.
with earlier as materialized (
  select run_id from run where schedule = $3 and platform_id = $2 and state = 'open' and fire_at < $4 limit 1
)
insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, started_by, state, ended_at, reason)
select $1, $2, $3, $4, $5, m.now, m.now + make_interval(secs => $6), $7,
       case when exists (select from earlier) then 'skipped' else 'open' end,
       case when exists (select from earlier) then m.now end,
       case when exists (select from earlier)
            then 'overlap: run ' || (select run_id from earlier) || ' was still open' end
  from (select clock() as now) m
on conflict (platform_id, schedule, fire_at) do nothing
returning state
