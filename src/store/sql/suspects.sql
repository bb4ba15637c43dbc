-- suspects.sql: the due items of one check that lost their process twice in a row or more, by how often (2 to 5, where 5 is
-- five times or more), how many, and whether one of them may be claimed now.
-- $1 platform, $2 check, $3 appids or null, $4 seconds from call to call of one merchant.
-- The lease that holds is not counted as lost. Locks nothing. Served by item_due; asked when little else is due, which the
-- planner can not know: it takes a third of the table for due, and would read all of it, but few rows for a range.
with moment as materialized (
  select clock() as now
)
select least(lost.times, 5) as times,
       count(*) as items,
       bool_or(i.free_at <= m.now
               and (i.leased_until is null or i.leased_until <= m.now - make_interval(secs => $4))) as claimable
  from moment m,
       item i
 cross join lateral (
       select i.abandoned + (i.leased_by is not null and i.leased_until <= m.now)::int as times) lost
 where i.platform_id = $1
   and i.check_name = $2
   and not i.held
   and i.due_at < 'infinity'
   and i.due_at between '-infinity' and (select now from moment)
   and ($3::text[] is null or i.appid = any ($3))
   and lost.times >= 2
 group by 1
 order by 1
