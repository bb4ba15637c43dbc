-- platforms_knowing.sql: the platforms that know every one of these merchants.
-- $1 appids, each once. Served by merchant's primary key, platform by platform.
select p.platform_id
  from platform p
 where not exists (
       select from unnest($1::text[]) as s (appid)
        where not exists (select from merchant m where m.platform_id = p.platform_id and m.appid = s.appid))
 order by p.platform_id
