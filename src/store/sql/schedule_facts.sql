-- schedule_facts.sql: how schedules stand: the newest tick of each, what waits, what is paused.
-- $1 schedules. The newest tick is found along the constraint a_tick_runs_once.
with now as materialized (select clock() as at)
select p.component_appid as platform,
       s.schedule,
       l.fire_at,
       l.state,
       l.reason,
       l.missed_ticks,
       extract(epoch from b.started_at - b.fire_at)::float8 as lag_secs,
       (select count(*) from run w
         where w.platform_id = p.platform_id and w.schedule = s.schedule and w.state = 'buffered') as waiting,
       h.what as paused,
       h.created_at as paused_since,
       h.until as paused_until,
       concat_ws(', ', nullif(h.reason, ''), 'by ' || h.created_by) as pause_note
  from unnest($1::text[]) with ordinality as s (schedule, ordinal)
 cross join now
  left join platform p on true
  left join lateral (
       select r.fire_at, r.state, r.reason, r.missed_ticks
         from run r
        where r.platform_id = p.platform_id
          and r.schedule = s.schedule
        order by r.fire_at desc
        limit 1) l on true
  left join lateral (
       select r.fire_at, r.started_at
         from run r
        where r.platform_id = p.platform_id
          and r.schedule = s.schedule
          and r.state not in ('skipped', 'missed', 'buffered')
          and r.follows is null
        order by r.fire_at desc
        limit 1) b on true
  left join lateral (
       select case when h.schedule is null then 'check' else 'schedule' end as what,
              h.created_at, h.until, h.reason, h.created_by
         from hold h
        where h.platform_id = p.platform_id
          and (h.schedule = s.schedule or (h.appid is null and h.check_name = s.schedule))
          and (h.until is null or h.until > now.at)
        order by h.schedule nulls last, h.until desc nulls first
        limit 1) h on true
 order by p.component_appid, s.ordinal
