-- worked_lately.sql: whether some item was answered in a run of the last day: then the platform's secret, its tokens and its allow-list
-- were well.
-- $1 platform
select exists (
  select
    from run r
    join coverage c on c.run_id = r.run_id
   where r.platform_id = $1
     and r.ended_at > clock() - interval '1 day'
     and c.done > 0)
