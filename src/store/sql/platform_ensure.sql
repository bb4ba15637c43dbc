-- platform_ensure.sql: the platform of this configuration has a row.
-- $1 component appid
with added as (
  insert into platform (component_appid) values ($1)
  on conflict (component_appid) do nothing
  returning platform_id
)
select platform_id from added
union all
select platform_id from platform where component_appid = $1
limit 1
