-- status_platforms.sql: each platform: its ticket, its breaker, and how much wants attention.
select p.component_appid as platform,
       extract(epoch from m.now - p.ticket_at)::float8 as ticket_age_secs,
       p.halted_at,
       p.halt_reason,
       (select count(*) from wxpatrol.attention a where a.platform = p.component_appid) as attention,
       p.enabled
  from (select clock() as now) m,
       platform p
 order by p.component_appid
