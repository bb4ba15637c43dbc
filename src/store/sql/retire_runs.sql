-- retire_runs.sql: deletes a batch of runs that ended long ago, with their coverage.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from run t
 where t.ctid = any (array(
       select o.ctid
         from run o
        where o.started_at < (select clock()) - make_interval(days => $1)
          and o.state <> 'open'
        limit $2))
