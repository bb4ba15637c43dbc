-- ticket_store.sql: keeps a verify ticket; a bootstrap ticket never replaces one that was stored later, and every ticket
-- of known age replaces it.
-- $1 platform, $2 ticket, sealed, $3 whether it is only a bootstrap
update platform
   set ticket_sealed = $2,
       ticket_at = clock(),
       ticket_created_at = case when not $3 then date_trunc('second', clock()) end
 where platform_id = $1
   and (not $3 or ticket_sealed is null)
