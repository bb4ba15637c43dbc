-- run_unfinished.sql: whether a run over all merchants has work left: an item that is leased, due, or due again within two
-- minutes. A few merchants' run is asked by run_unfinished_of.sql.
-- $1 platform, $2 checks that are not shut for longer, $3 for each its gate, the check whose row carries the merchant's limit, or
-- null. A message whose gate frees it within the hour is waited for; one that is barred for longer (its merchant's day is used up) is
-- not, as what it reads is not.
-- Served by item_due; a leased item is still due there. Items whose merchant's own limit frees them later than that do
-- not hold a run open. The longest due item of each check is asked for, and not just any: for just any the planner goes through
-- the table, and when nothing is due it goes through all of it.
with moment as materialized (
  select clock() as now
)
select exists (
  select
    from unnest($2::text[], $3::text[]) as c (check_name, gate)
   cross join lateral (
         select
           from item i
          where i.platform_id = $1
            and i.check_name = c.check_name
            and not i.held
            and i.due_at < 'infinity'
            and i.due_at <= (select now + interval '2 min' from moment)
            and i.free_at <= (select now + interval '2 min' from moment)
            and (c.gate is null
                 or i.leased_until > (select now from moment)
                 or exists (select from item g
                             where g.platform_id = i.platform_id
                               and g.appid = i.appid
                               and g.check_name = c.gate
                               and g.counterpart = ''
                               and g.free_at <= (select now + interval '1 h' from moment)))
          order by i.due_at, i.appid, i.counterpart
          limit 1) first)
