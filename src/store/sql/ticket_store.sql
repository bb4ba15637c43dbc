-- ticket_store.sql: keeps a verify ticket; a bootstrap ticket never replaces one that was stored later, and every ticket
-- of known age replaces it.
-- A halted platform may have waited for just this ticket: it is probed at once.
-- $1 platform, $2 ticket, sealed, $3 whether it is only a bootstrap
update platform
   set ticket_sealed = $2,
       ticket_at = clock(),
       ticket_created_at = case when not $3 then date_trunc('second', clock()) end,
       probe_at = case when halted_at is not null and not $3 then least(probe_at, clock()) else probe_at end
 where platform_id = $1
   and (not $3 or ticket_sealed is null)
