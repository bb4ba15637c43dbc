-- status_schedules.sql: the newest tick of each platform's schedules, so that silence shows. Skips from schedule to
-- schedule along the constraint a_tick_runs_once.
with recursive s as (
  select p.platform_id, (select min(r.schedule) from run r where r.platform_id = p.platform_id) as schedule
    from platform p
  union all
  select s.platform_id,
         (select min(r.schedule) from run r where r.platform_id = s.platform_id and r.schedule > s.schedule)
    from s
   where s.schedule is not null
)
select p.component_appid as platform,
       s.schedule,
       l.fire_at,
       extract(epoch from clock() - l.fire_at)::float8 as age_secs,
       l.state,
       l.reason
  from s
  join platform p on p.platform_id = s.platform_id
 cross join lateral (
       select r.fire_at, r.state, r.reason
         from run r
        where r.platform_id = s.platform_id
          and r.schedule = s.schedule
        order by r.fire_at desc
        limit 1) l
 order by p.component_appid, s.schedule
