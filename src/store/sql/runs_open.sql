-- runs_open.sql: every open run, oldest first, and whether its deadline is over.
-- $1 platform
select run_id, schedule, checks, merchants, all_due, dry_run, planned_at is not null as planned,
       deadline_at <= clock() as overdue
  from run
 where platform_id = $1
   and state = 'open'
 order by started_at, run_id
