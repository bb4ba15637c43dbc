-- runs_waiting.sql: the waiting runs of a halted platform whose schedule is on and not paused, oldest first: one of them lends the
-- merchant that is tried. None while the platform works. Served by run_waiting.
-- $1 platform, $2 the schedules that are on here
select r.run_id, r.schedule, r.checks, r.merchants, r.all_due, r.dry_run, true as planned,
       null::float8 as overdue_secs, false as of_one_process, false as abandoned
  from run r
  join platform p
    on p.platform_id = r.platform_id
   and p.halted_at is not null
 where r.platform_id = $1
   and r.state = 'buffered'
   and r.schedule = any ($2)
   and cardinality(r.checks) > 0
   and not exists (select from hold h
                    where h.platform_id = $1
                      and h.schedule = r.schedule
                      and (h.until is null or h.until > clock()))
 order by r.fire_at, r.run_id
