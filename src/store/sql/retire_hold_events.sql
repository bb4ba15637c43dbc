-- retire_hold_events.sql: deletes a batch of what was said about holds long ago.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from hold_event t
 where t.ctid = any (array(
       select o.ctid
         from hold_event o
        where o.at < (select clock()) - make_interval(days => $1)
        limit $2))
