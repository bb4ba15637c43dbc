-- breaker_probe.sql: takes the probe: of all processes, one tries one merchant, and the others know it for a minute. Where nobody
-- is known who could be tried, the probe is the sync's (run_first_sync.sql).
-- $1 platform, $2 whether a person asks for it now. No row: it is not time, or another process has it.
update platform
   set probe_at = clock() + interval '1 min',
       probing_until = clock() + interval '1 min'
 where platform_id = $1
   and halted_at is not null
   and (probe_at <= clock() or $2)
   and ($2 or exists (select from merchant m where m.platform_id = $1 and m.withdrawn_at is null))
returning platform_id
