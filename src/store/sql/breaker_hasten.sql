-- breaker_hasten.sql: a process takes the platform up, with what may have been mended: a halted one is tried at once, unless it is
-- being tried.
-- $1 platform
update platform
   set probe_at = clock()
 where platform_id = $1
   and halted_at is not null
   and probe_at > clock()
   and coalesce(probing_until <= clock(), true)
