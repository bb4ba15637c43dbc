-- status_merchants.sql: merchants by kind, withdrawn ones apart. Served by merchant_by_kind alone: no row is read.
select p.component_appid as platform,
       k.kind,
       k.authorized,
       k.withdrawn
  from (select m.platform_id,
               m.kind,
               count(*) filter (where m.withdrawn_at is null) as authorized,
               count(m.withdrawn_at) as withdrawn
          from merchant m
         group by m.platform_id, m.kind) k
  join platform p on p.platform_id = k.platform_id
 order by p.component_appid, k.kind
