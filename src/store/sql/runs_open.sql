-- runs_open.sql: every open run, oldest first, for how long its deadline is over (null: it is not), and whether one process alone does its work
-- (a sync), which may be gone.
-- $1 platform
select r.run_id, r.schedule, r.checks, r.merchants, r.all_due, r.dry_run, r.planned_at is not null as planned,
       case when r.deadline_at <= m.now then extract(epoch from m.now - r.deadline_at)::float8 end as overdue_secs,
       cardinality(r.checks) = 0 as of_one_process,
       cardinality(r.checks) = 0
         and r.started_at < m.now - interval '1 min'
         and not exists (select from process p
                          where p.process_id = r.started_by and p.beat_at > m.now - interval '1 min') as abandoned
  from run r
 cross join (select clock() as now) m
 where r.platform_id = $1
   and r.state = 'open'
 order by r.started_at, r.run_id
