-- breaker_close.sql: a call succeeded: the platform works again.
-- $1 platform
update platform
   set halted_at = null,
       halt_errcode = null,
       halt_reason = null,
       probe_at = null,
       probing_until = null,
       probes = 0
 where platform_id = $1
   and halted_at is not null
