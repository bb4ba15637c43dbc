-- token_claim.sql: the state of a credential before a refresh, locked, so that one process becomes its refresher.
-- $1 platform, $2 appid ('' = the platform)
select c.access_sealed,
       greatest(extract(epoch from c.access_expires_at - m.now), 0)::float8 as good_for_secs,
       c.version,
       c.refresh_sealed,
       c.refresh_version,
       c.fence,
       coalesce(c.leased_until > m.now, false) as leased,
       greatest(extract(epoch from c.cool_until - m.now), 0)::float8 as cooling_secs,
       c.failure_reason,
       c.failure_errcode,
       c.lost_reason,
       extract(epoch from m.now - c.refused_at)::float8 as refused_secs_ago,
       t.withdrawn_at is not null as withdrawn
  from (select clock() as now) m,
       credential c
  left join merchant t
    on t.platform_id = c.platform_id
   and t.appid = c.appid
 where c.platform_id = $1
   and c.appid = $2
   for update of c
