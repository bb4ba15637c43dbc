-- breaker_open.sql: opens the breaker, or keeps it open: the wait for the next probe doubles from 1 to 30 minutes.
-- $1 platform, $2 errcode, $3 reason
update platform
   set halted_at = coalesce(halted_at, clock()),
       halt_errcode = $2,
       halt_reason = $3,
       probe_at = clock() + least(interval '1 min' * power(2, least(probes, 8)), interval '30 min'),
       probes = probes + 1
 where platform_id = $1
