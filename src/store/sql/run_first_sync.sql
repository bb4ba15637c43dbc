-- run_first_sync.sql: opens a sync that waits for no tick: for a platform of which none ever came to its end, and for a halted one
-- that nothing else tries, because nobody is known who could be tried, or no run waits. Of a halted platform it takes the probe,
-- as breaker_probe.sql does. Not while a sync is open, waits or is paused, nor so soon after one that was interrupted: the wait
-- for the next doubles from one minute to ten.
-- $1 run, $2 platform, $3 deadline in seconds, $4 process
-- Answers whether it is needless from now on, unless the platform is halted, and the run when this process began it. The row of
-- the schedule is locked already (schedule_lock.sql), so that no other process opens one meanwhile; locks the platform's row.
with moment as materialized (
  select clock() as now
), syncs as materialized (
  select count(*) filter (where state = 'complete') > 0 as complete,
         count(*) filter (where state in ('open', 'buffered')) > 0 as under_way,
         max(started_at) filter (where state = 'interrupted')
           + least(interval '1 min' * power(2, count(*) filter (where state = 'interrupted'
                                                                  and started_at > (select now from moment) - interval '1 h') - 1),
                   interval '10 min') as again_at
    from run
   where platform_id = $2
     and schedule = 'sync'
), standing as materialized (
  select p.synced_at is not null or s.complete as synced,
         p.halted_at is not null as halted,
         case when p.halted_at is not null then p.probe_at <= m.now
              else coalesce(s.again_at <= m.now, true) end as in_time,
         s.under_way
    from platform p
   cross join syncs s
   cross join moment m
   where p.platform_id = $2
), wanted as materialized (
  select not t.under_way
         and t.in_time
         and (not t.synced
              or t.halted
             and (not exists (select from merchant where platform_id = $2 and withdrawn_at is null)
                  or not exists (select from run r
                                  where r.platform_id = $2
                                    and r.state in ('open', 'buffered')
                                    and cardinality(r.checks) > 0)))
         and not exists (select from hold h
                          where h.platform_id = $2
                            and h.schedule = 'sync'
                            and (h.until is null or h.until > m.now)) as wanted,
         t.halted
    from standing t
   cross join moment m
), probe as (
  update platform p
     set probe_at = m.now + interval '1 min',
         probing_until = m.now + interval '1 min'
    from wanted w
   cross join moment m
   where w.wanted
     and p.platform_id = $2
     and p.halted_at is not null
     and p.probe_at <= m.now
  returning p.platform_id
), opened as (
  insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, started_by)
  select $1, $2, 'sync', m.now, '{}', m.now, m.now + make_interval(secs => $3), $4
    from wanted w
   cross join moment m
   where w.wanted
     and (not w.halted or exists (select from probe))
  on conflict (platform_id, schedule, fire_at) do nothing
  returning run_id
)
select t.synced as needless, (select run_id from opened) as run_id from standing t
