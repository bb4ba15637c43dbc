-- items_park.sql: parks items whose process died on each of five claims in a row, for a day.
-- $1 platform, $2 check. Answers with the parked merchants. Served by item_due; asked when suspects.sql found some.
-- The count stays: a parked item that does it again next time is parked at once. Locks the items, and leaves out those that
-- somebody else has locked.
with killer as materialized (
  select i.platform_id, i.appid, i.check_name, i.counterpart, m.now
    from (select clock() as now) m,
         item i
   where i.platform_id = $1
     and i.check_name = $2
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at <= m.now
     and i.abandoned >= 4
     and i.leased_until <= m.now
     for no key update of i skip locked
)
update item i
   set outcome = 'failed',
       reason = 'killed_its_process',
       class = null,
       errcode = null,
       rid = null,
       due_at = m.now + interval '20 hours',
       due_since = m.now + interval '20 hours',
       recorded_at = m.now,
       attempts = 0,
       leased_by = null,
       leased_until = null
  from killer m
 where i.platform_id = m.platform_id
   and i.appid = m.appid
   and i.check_name = m.check_name
   and i.counterpart = m.counterpart
returning i.appid
