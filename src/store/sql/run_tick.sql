-- run_tick.sql: a tick becomes a row, once over all processes: an open run, one that waits, or one that never runs.
-- $1 run, $2 platform, $3 schedule, $4 fire time, $5 checks, $6 deadline in seconds, $7 process, $8 whether it is to run,
-- $9 how many may wait, $10 earlier ticks for which it stands, $11 the first of those
-- The row of the schedule is locked already (schedule_lock.sql), so that no other tick of it opens a run meanwhile.
-- Served by run_open and run_waiting. No row: it was there before, written by a binary that knows no marks.
with now_open as materialized (
  select run_id from run where platform_id = $2 and schedule = $3 and state = 'open' limit 1
), waiting as materialized (
  select count(*) as ticks from run where platform_id = $2 and schedule = $3 and state = 'buffered'
), pause as materialized (
  select 'paused by ' || created_by || coalesce(': ' || nullif(reason, ''), '') as words
    from hold
   where platform_id = $2
     and schedule = $3
     and (until is null or until > clock())
   order by until desc nulls first
   limit 1
), halt as materialized (
  select from platform where platform_id = $2 and halted_at is not null
), fate as (
  select case
           when not $8 then 'missed'
           when exists (select from pause) then 'skipped'
           when w.ticks = 0 and not exists (select from now_open) then 'open'
           when w.ticks < $9 then 'buffered'
           else 'skipped'
         end as state,
         case
           when not $8 then 'missed: no process heard it in time'
           when exists (select from pause) then (select words from pause)
           when exists (select from now_open)
             then 'overlap: run ' || (select run_id from now_open) || ' was still open'
                  || case when w.ticks > 0 then ', and ' || w.ticks || ' waited' else '' end
           when w.ticks > 0 and exists (select from halt)
             then 'halted: ' || w.ticks || ' waited until the platform works again'
           when w.ticks > 0 then 'overlap: ' || w.ticks || ' waited'
         end as reason
    from waiting w
)
insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, started_by, state, reason, ended_at,
                 buffered_at, missed_ticks, missed_since)
select $1, $2, $3, $4, $5, m.now, m.now + make_interval(secs => $6), $7, f.state, f.reason,
       case when f.state in ('skipped', 'missed') then m.now end,
       case when f.state = 'buffered' then m.now end,
       $10, $11
  from fate f
 cross join (select clock() as now) m
on conflict (platform_id, schedule, fire_at) do nothing
returning state
