-- status_checks.sql: the items of each check: due, leased, held, sleeping.
select p.component_appid as platform,
       i.check_name,
       count(*) as items,
       count(*) filter (where not i.held and i.due_at <= m.now and not leased) as due,
       min(i.due_since) filter (where not i.held and i.due_at <= m.now and not leased) as due_since,
       count(*) filter (where leased) as leased,
       count(*) filter (where i.held) as held
  from (select clock() as now) m,
       item i
  join platform p on p.platform_id = i.platform_id
 cross join lateral (select coalesce(i.leased_until > m.now, false) as leased) l
 group by p.component_appid, i.check_name
 order by p.component_appid, i.check_name
