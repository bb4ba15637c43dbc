-- slice_take.sql: takes slots of a limit that all processes share (generic cell rate algorithm).
-- $1 platform, $2 endpoint, $3 slots, $4 seconds from slot to slot, $5 seconds that unused slots are kept,
-- $6 seconds that slots may be handed out ahead.
-- Locks one row of pace for the length of the update; the waiter reads the clock again after the lock. While the
-- endpoint is slow, the slots are twice as far apart.
with moment as materialized (
  select m.now,
         coalesce(c.closed_until > m.now, false) as shut,
         greatest(extract(epoch from c.closed_until - m.now), 0)::float8 as shut_secs,
         $4 * case when c.slow_until > m.now then 2 else 1 end as interval_secs
    from (select clock() as now) m
    left join closure c
      on c.platform_id = $1
     and c.endpoint = $2
), granted as (
  update pace p
     set tat = greatest(p.tat, m.now - make_interval(secs => $5)) + make_interval(secs => $3 * m.interval_secs)
    from moment m
   where p.platform_id = $1
     and p.endpoint = $2
     and not m.shut
     and p.tat < m.now + make_interval(secs => $6)
  returning extract(epoch from p.tat - make_interval(secs => $3 * m.interval_secs) - clock())::float8 as wait_secs
)
select m.shut,
       coalesce(m.shut_secs, 0) as shut_secs,
       m.interval_secs::float8 as interval_secs,
       (select wait_secs from granted) as wait_secs,
       (select extract(epoch from p.tat - m.now)::float8 from pace p where p.platform_id = $1 and p.endpoint = $2) as lead_secs
  from moment m
