-- run_unfinished.sql: whether a run over all merchants has work left: an item that is leased, due, or due again within two
-- minutes. A few merchants' run is asked by run_unfinished_of.sql.
-- $1 platform, $2 checks that are not shut for longer.
-- Served by item_due; a leased item is still due there. Items whose merchant's own limit frees them later than that do
-- not hold a run open. The longest due item of each check is asked for, and not just any: for just any the planner goes through
-- the table, and when nothing is due it goes through all of it.
with moment as materialized (
  select clock() as now
)
select exists (
  select
    from unnest($2::text[]) as c (check_name)
   cross join lateral (
         select
           from item i
          where i.platform_id = $1
            and i.check_name = c.check_name
            and not i.held
            and i.due_at < 'infinity'
            and i.due_at <= (select now + interval '2 min' from moment)
            and i.free_at <= (select now + interval '2 min' from moment)
          order by i.due_at, i.appid, i.counterpart
          limit 1) first)
