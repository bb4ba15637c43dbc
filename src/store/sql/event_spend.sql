-- event_spend.sql: an event's code was used, or is dead: it is erased, and what is left to do is to ask about the merchant.
-- $1 event, $2 fence, $3 what went wrong, or null. No row: somebody else has the event, or a newer one overtook it.
update authorization_event
   set code_sealed = null,
       code_expires_at = null,
       reason = $3
 where event_id = $1
   and fence = $2
   and state = 'pending'
returning event_id
