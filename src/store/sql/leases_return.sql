-- leases_return.sql: everything of a platform that this process still leases comes due as it was, at an orderly end.
-- $1 process, $2 platform. Served by item_due: a leased item is still due there. Locks the items in key order.
-- The planner takes a third of the table for due, and would read all of it, but few rows for a range.
with moment as materialized (
  select clock() as now
), held as materialized (
  select i.platform_id, i.appid, i.check_name, i.counterpart
    from item i
   where i.platform_id = $2
     and i.check_name in ('phone', 'ask', 'callback', 'links', 'invite')
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at between '-infinity' and (select now from moment)
     and i.leased_by = $1
     and i.leased_until > (select now from moment)
   order by i.platform_id, i.appid, i.check_name, i.counterpart
     for no key update
)
update item i
   set leased_by = null,
       leased_until = null
  from held h
 where i.platform_id = h.platform_id
   and i.appid = h.appid
   and i.check_name = h.check_name
   and i.counterpart = h.counterpart
