-- run_first_sync.sql: opens a sync that waits for no tick, for a platform whose merchants are not known: none has come yet, or
-- the syncs so far were interrupted. Not while one is open, waits, is paused, or was begun in the last ten minutes.
-- $1 run, $2 platform, $3 deadline in seconds, $4 process
-- Answers whether it is needless from now on, and the run when this process began it. The row of the schedule is locked
-- already (schedule_lock.sql), so that no other process opens one meanwhile.
with moment as materialized (
  select clock() as now
), syncs as materialized (
  select count(*) filter (where state = 'complete') > 0 as complete,
         count(*) filter (where state = 'interrupted') > 0 as interrupted,
         count(*) filter (where state in ('open', 'buffered')
                             or state in ('interrupted', 'halted')
                            and started_at > (select now from moment) - interval '10 min') > 0 as lately
    from run
   where platform_id = $2
     and schedule = 'sync'
), wanted as materialized (
  select not s.complete and (s.interrupted or not exists (select from merchant where platform_id = $2)) as wanted, s.lately
    from syncs s
), opened as (
  insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, started_by)
  select $1, $2, 'sync', m.now, '{}', m.now, m.now + make_interval(secs => $3), $4
    from wanted w
   cross join moment m
   where w.wanted
     and not w.lately
     and not exists (select from hold h
                      where h.platform_id = $2
                        and h.schedule = 'sync'
                        and (h.until is null or h.until > m.now))
  on conflict (platform_id, schedule, fire_at) do nothing
  returning run_id
)
select not wanted as needless, (select run_id from opened) as run_id from wanted
