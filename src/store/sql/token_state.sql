-- token_state.sql: why nobody may refresh now.
-- $1 platform, $2 appid ('' = the platform), $3 seconds between two refusals that have the platform's own token bought
select c.access_sealed,
       greatest(extract(epoch from c.access_expires_at - m.now), 0)::float8 as good_for_secs,
       c.version,
       coalesce(c.leased_until > m.now, false) as leased,
       greatest(extract(epoch from c.cool_until - m.now), 0)::float8 as cooling_secs,
       c.failure_reason,
       c.failure_errcode,
       c.lost_reason,
       c.lost_at is null or coalesce(c.lost_at <= r.complete_at, false) as loss_proven,
       greatest(extract(epoch from c.refused_at + make_interval(secs => $3) - m.now), 0)::float8 as too_soon_secs,
       t.withdrawn_at is not null as withdrawn
  from (select clock() as now) m,
       credential c
  left join recovery r
    on r.platform_id = c.platform_id
  left join merchant t
    on t.platform_id = c.platform_id
   and t.appid = c.appid
 where c.platform_id = $1
   and c.appid = $2
