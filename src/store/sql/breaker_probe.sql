-- breaker_probe.sql: takes the probe: of all processes, one tries one merchant, and the others know it for a minute.
-- $1 platform, $2 whether a person asks for it now. No row: it is not time, or another process has it.
update platform
   set probe_at = clock() + interval '1 min',
       probing_until = clock() + interval '1 min'
 where platform_id = $1
   and halted_at is not null
   and (probe_at <= clock() or $2)
returning platform_id
