-- leases_prolong.sql: moves the ends of leases on that still hold. A lease that is over, or another's, stays as it is.
-- $1 platform, $2 process, $3 lease in seconds, arrays in key order: $4 appid, $5 check, $6 counterpart, $7 fence,
-- $8 the gate of a check that messages people (its row carries the merchant's limit), or null.
-- Answers with the ordinals of the leases that go on. No indexed column changes. May be repeated.
with moment as materialized (
  select clock() as now
), prolonged as (
  update item i
     set leased_until = greatest(i.leased_until, m.now + make_interval(secs => $3))
    from moment m,
         unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[]) with ordinality
           as s (appid, check_name, counterpart, fence, gate, ordinal)
   where i.platform_id = $1
     and i.appid = s.appid
     and i.check_name = s.check_name
     and i.counterpart = s.counterpart
     and case when i.leased_by = $2 then i.fence = s.fence and i.leased_until > m.now else false end
  returning s.ordinal, s.appid, s.gate
), gates as (
  update item g
     set free_at = greatest(g.free_at, m.now + make_interval(secs => $3))
    from moment m, prolonged p
   where g.platform_id = $1
     and g.appid = p.appid
     and g.check_name = p.gate
     and g.counterpart = ''
)
select ordinal from prolonged
