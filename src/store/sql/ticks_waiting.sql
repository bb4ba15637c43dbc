-- ticks_waiting.sql: schedules of which a tick waits and may begin: while the platform is halted only a sync.
-- Served by run_waiting, which is empty most of the time.
-- $1 platform, $2 the schedules that are on here: what waits of another is not begun
select distinct w.schedule
  from run w
 where w.platform_id = $1
   and w.state = 'buffered'
   and w.schedule = any ($2)
   and not exists (select from run o where o.platform_id = $1 and o.schedule = w.schedule and o.state = 'open')
   and not exists (select from hold h
                    where h.platform_id = $1
                      and h.schedule = w.schedule
                      and (h.until is null or h.until > clock()))
   and (cardinality(w.checks) = 0
        or not exists (select from platform p where p.platform_id = $1 and p.halted_at is not null))
