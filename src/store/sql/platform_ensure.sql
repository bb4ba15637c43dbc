-- platform_ensure.sql: the platform that this process's environment names has a row, which remembers that it was named.
-- $1 component appid
-- Writes at most once an hour, so that many short commands leave one row alone.
with named as (
  insert into platform as p (component_appid, named_at) values ($1, clock())
  on conflict (component_appid) do update
     set named_at = excluded.named_at
   where p.named_at is null
      or p.named_at < excluded.named_at - interval '1 hour'
  returning p.platform_id
)
select platform_id from named
union all
select platform_id from platform where component_appid = $1
limit 1
