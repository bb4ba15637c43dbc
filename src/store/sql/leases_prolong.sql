-- leases_prolong.sql: moves the ends of leases on that still hold. A lease that is over, or another's, stays as it is.
-- $1 platform, $2 process, $3 lease in seconds, arrays: $4 appid, $5 check, $6 counterpart, $7 fence,
-- $8 the gate of a check that messages people (its row carries the merchant's limit), or null, $9 seconds from call to call of one
-- merchant: the gate stays shut for so long after the lease, as claim_gated.sql has it.
-- Answers with the ordinals of the leases that go on. No indexed column changes. May be repeated.
-- Waits for nobody, so that it stands in nobody's way: a row that is locked is being recorded, or held for a moment by planning
-- or an operator; then its lease ends when it would have, and the next beat comes long before that.
with moment as materialized (
  select clock() as now
), held as materialized (
  select s.ordinal, i.platform_id, i.appid, i.check_name, i.counterpart, s.gate, s.apart_secs
    from moment m,
         (select $1::int as platform_id, u.*
            from unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::float8[]) with ordinality
                   as u (appid, check_name, counterpart, fence, gate, apart_secs, ordinal)
          offset 0) s
    join item i
      on i.platform_id = s.platform_id
     and i.appid = s.appid
     and i.check_name = s.check_name
     and i.counterpart = s.counterpart
   where case when i.leased_by = $2 then i.fence = s.fence and i.leased_until > m.now else false end
     for no key update of i skip locked
), prolonged as (
  update item i
     set leased_until = greatest(i.leased_until, m.now + make_interval(secs => $3))
    from moment m, held h
   where i.platform_id = h.platform_id
     and i.appid = h.appid
     and i.check_name = h.check_name
     and i.counterpart = h.counterpart
  returning h.ordinal
), gate as materialized (
  select g.platform_id, g.appid, g.check_name, h.apart_secs
    from held h
    join item g
      on g.platform_id = h.platform_id
     and g.appid = h.appid
     and g.check_name = h.gate
     and g.counterpart = ''
     for no key update of g skip locked
), gates as (
  update item g
     set free_at = greatest(g.free_at, m.now + make_interval(secs => $3 + gate.apart_secs))
    from moment m, gate
   where g.platform_id = gate.platform_id
     and g.appid = gate.appid
     and g.check_name = gate.check_name
     and g.counterpart = ''
)
select ordinal from prolonged
