-- run_unfinished.sql: whether a run has work left: an item that is leased, due, or due again within two minutes.
-- $1 platform, $2 checks that are not shut for longer, $3 merchants or null.
-- Served by item_due; a leased item is still due there. Items whose merchant's own limit frees them later than that do
-- not hold a run open.
with moment as materialized (
  select clock() as now
)
select exists (
  select
    from moment m,
         item i
   where i.platform_id = $1
     and i.check_name = any ($2)
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at <= m.now + interval '2 min'
     and i.free_at <= m.now + interval '2 min'
     and ($3::text[] is null or i.appid = any ($3)))
