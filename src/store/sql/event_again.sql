-- event_again.sql: an event could not be worked on: later.
-- $1 event, $2 fence, $3 seconds from now, $4 why
update authorization_event
   set due_at = clock() + make_interval(secs => $3),
       reason = $4
 where event_id = $1
   and fence = $2
   and state = 'pending'
