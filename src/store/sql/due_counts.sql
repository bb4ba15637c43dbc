-- due_counts.sql: what a run would have to do: due items for each check, and merchants without a live token among them.
-- $1 platform, $2 checks, $3 merchants or null
with moment as materialized (
  select clock() as now
)
select i.check_name,
       count(*) as items,
       count(distinct i.appid) filter (where c.access_expires_at is null or c.access_expires_at < m.now + interval '10 min') as refreshes
  from moment m,
       item i
  left join credential c
    on c.platform_id = i.platform_id
   and c.appid = i.appid
 where i.platform_id = $1
   and i.check_name = any ($2)
   and not i.held
   and i.due_at < 'infinity'
   and i.due_at <= m.now
   and ($3::text[] is null or i.appid = any ($3))
 group by i.check_name
