-- event_settle.sql: nothing is left to do for an event.
-- $1 event, $2 fence, $3 done or failed, $4 why it failed, or null: what was noted stays
update authorization_event
   set state = $3,
       code_sealed = null,
       code_expires_at = null,
       due_at = null,
       settled_at = clock(),
       reason = coalesce($4, reason)
 where event_id = $1
   and fence = $2
   and state = 'pending'
