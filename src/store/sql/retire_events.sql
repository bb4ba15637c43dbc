-- retire_events.sql: deletes a batch of authorization events that were settled long ago. The order of a merchant's events
-- does not need them: it is on the merchant's row.
-- $1 their age in days, $2 rows at most. May be repeated.
delete from authorization_event t
 where t.ctid = any (array(
       select o.ctid
         from authorization_event o
        where o.state <> 'pending'
          and o.settled_at < (select clock()) - make_interval(days => $1)
        limit $2))
