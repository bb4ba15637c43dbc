-- breaker_open.sql: opens the breaker, or keeps it open: the wait for the next probe doubles from 1 to 30 minutes.
-- $1 platform, $2 errcode, $3 reason, $4 whether a probe failed. Processes that say the same at a time lengthen no wait.
update platform
   set halted_at = coalesce(halted_at, clock()),
       halt_errcode = $2,
       halt_reason = $3,
       probe_at = case when halted_at is null then clock() + interval '1 min'
                       when $4 then clock() + least(interval '1 min' * power(2, least(probes, 8)), interval '30 min')
                       else probe_at
                  end,
       probing_until = case when halted_at is not null and not $4 then probing_until end,
       probes = case when halted_at is null then 1
                     when $4 then probes + 1
                     else probes
                end
 where platform_id = $1
