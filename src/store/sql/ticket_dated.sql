-- ticket_dated.sql: keeps a ticket of known age, when it is newer than the one that is stored, and not dead yet: tickets
-- live for twelve hours. May be repeated.
-- $1 platform, $2 ticket, sealed, $3 when it was made
-- A halted platform may have waited for just this ticket: it is probed at once.
update platform
   set ticket_sealed = $2,
       ticket_at = least($3, clock()),
       ticket_created_at = $3,
       probe_at = case when halted_at is not null then least(probe_at, clock()) end
 where platform_id = $1
   and (ticket_created_at is null or ticket_created_at < $3)
   and $3 > clock() - interval '12 hours'
