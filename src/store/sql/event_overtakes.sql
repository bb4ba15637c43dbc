-- event_overtakes.sql: a newer event about a merchant ends those that wait: their codes are void, and are erased.
-- $1 platform, $2 appid, $3 the newer event
update authorization_event
   set state = 'overtaken',
       code_sealed = null,
       code_expires_at = null,
       due_at = null,
       fence = fence + 1,
       settled_at = clock()
 where platform_id = $1
   and appid = $2
   and state = 'pending'
   and event_id <> $3
