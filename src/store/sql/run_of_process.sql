-- run_of_process.sql: the open run of a platform that one process began and alone does (a sync). Served by run_open.
-- $1 platform, $2 process
select run_id, schedule
  from run
 where platform_id = $1
   and state = 'open'
   and cardinality(checks) = 0
   and schedule is not null
   and started_by = $2
 order by started_at
 limit 1
