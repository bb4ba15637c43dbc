-- status_schedules.sql: the newest tick of each schedule, so that silence shows. Skips from schedule to schedule along
-- the constraint a_tick_runs_once.
with recursive s as (
  select min(schedule) as schedule from run
  union all
  select (select min(r.schedule) from run r where r.schedule > s.schedule) from s where s.schedule is not null
)
select s.schedule,
       l.fire_at,
       extract(epoch from clock() - l.fire_at)::float8 as age_secs,
       l.state,
       l.reason
  from s
 cross join lateral (
       select r.fire_at, r.state, r.reason
         from run r
        where r.schedule = s.schedule
        order by r.fire_at desc
        limit 1) l
 order by s.schedule
