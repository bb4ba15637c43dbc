-- status_merchants.sql: merchants by kind, withdrawn ones apart.
select p.component_appid as platform,
       m.kind,
       count(*) filter (where m.withdrawn_at is null) as authorized,
       count(*) filter (where m.withdrawn_at is not null) as withdrawn
  from merchant m
  join platform p on p.platform_id = m.platform_id
 group by p.component_appid, m.kind
 order by p.component_appid, m.kind
