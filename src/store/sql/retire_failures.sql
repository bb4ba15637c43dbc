-- retire_failures.sql: deletes a batch of failed calls that WeChat no longer answers about.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from failure t
 where t.ctid = any (array(
       select o.ctid
         from failure o
        where o.failed_at < (select clock()) - make_interval(days => $1)
        limit $2))
