-- items_park.sql: parks items whose process died on each of five claims in a row, for a day.
-- $1 platform, $2 check. Answers with the parked merchants. Served by item_due; asked when little else is due.
-- The count stays: a parked item that does it again next time is parked at once.
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
  from (select clock() as now) m
 where i.platform_id = $1
   and i.check_name = $2
   and not i.held
   and i.due_at < 'infinity'
   and i.due_at <= m.now
   and i.abandoned >= 4
   and i.leased_until <= m.now
returning i.appid
