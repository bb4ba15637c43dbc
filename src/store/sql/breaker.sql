-- breaker.sql: whether the platform is halted, why, how long until one merchant may be tried, and whether one is being tried.
-- $1 platform
select halted_at is not null as halted,
       halt_errcode,
       halt_reason,
       greatest(extract(epoch from probe_at - clock()), 0)::float8 as probe_secs,
       halted_at is not null and coalesce(probing_until > clock(), false) as probing
  from platform
 where platform_id = $1
