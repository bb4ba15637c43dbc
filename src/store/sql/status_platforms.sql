-- status_platforms.sql: each platform: its ticket, its breaker, and how much wants attention, counted up to a thousand.
select p.component_appid as platform,
       extract(epoch from m.now - p.ticket_at)::float8 as ticket_age_secs,
       p.halted_at,
       p.halt_reason,
       case when p.enabled
            then (select count(*) from (select from trouble t where t.platform_id = p.platform_id limit 1000) t)
            else 0 end as attention,
       p.enabled
  from (select clock() as now) m,
       platform p
 order by p.component_appid
