-- run_begin_waiting.sql: the oldest waiting tick of a schedule begins, unless a run of it is open, it is paused, or the platform
-- is halted: then a probe comes first. A sync has no checks, and waits for no probe.
-- $1 platform, $2 schedule, $3 process. The row of the schedule is locked already (schedule_lock.sql).
update run r
   set state = 'open',
       reason = null,
       started_at = m.now,
       deadline_at = m.now + (r.deadline_at - r.started_at),
       started_by = $3
  from (select clock() as now) m
 where r.run_id = (
       select w.run_id
         from run w
        where w.platform_id = $1
          and w.schedule = $2
          and w.state = 'buffered'
        order by w.fire_at
        limit 1)
   and not exists (select from run o where o.platform_id = $1 and o.schedule = $2 and o.state = 'open')
   and not exists (select from hold h
                    where h.platform_id = $1
                      and h.schedule = $2
                      and (h.until is null or h.until > m.now))
   and (cardinality(r.checks) = 0
        or not exists (select from platform p where p.platform_id = $1 and p.halted_at is not null))
returning r.run_id
