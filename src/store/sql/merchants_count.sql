-- merchants_count.sql: known merchants that are not withdrawn, and those of unknown kind among them.
-- $1 platform
select count(*) as merchants, count(*) filter (where kind = 'unknown') as unknown
  from merchant
 where platform_id = $1
   and withdrawn_at is null
