-- slice_take.sql: takes slots of a limit that all processes share (generic cell rate algorithm), and of its count a day.
-- $1 platform, $2 endpoint, $3 slots, $4 seconds from slot to slot as set here (0: no rate), $5 seconds that unused slots
-- are kept, $6 seconds that slots may be handed out ahead, $7 the share of a rate that is handed out, $8 seconds that one
-- slice may last, $9 calls a day as set here, or null, $10 slots of earlier slices that no call was made with, $11 seconds
-- since the oldest of them was taken: they are taken back from the count of the day that they were taken on.
-- With $3 zero nothing is taken, and slots are only given back. $12 why a count of ours closes an endpoint: what comes back to
-- a day that was used up opens it.
-- The stricter holds: of what is set here, what other living processes are set to, and what WeChat said. While the
-- endpoint is slow, the slots are further apart.
-- Locks the day's row of day_count, if days are counted, then the endpoint's row of pace; the waiter reads the clock again
-- after the lock. A row of pace that is missing (a crash of Postgres empties the table) is made first, and gives its first
-- slot after whatever was handed out before, however often that happens; where slots are more than a second apart, a crash may
-- add one call. Within two seconds of midnight nothing is taken from a day: the call would count on the next one.
-- No slice leaves tat further ahead than $6 and its own length, which is $8 or a single slot. One that stands further ahead was
-- written while the clock was ahead, or under a stricter limit that holds no more. It is set to that bound (set_right): all
-- that was handed out lies before it, by the time from slot to slot at least, so that this adds no call. Nothing is taken by
-- the same statement.
with moment as materialized (
  select m.now,
         d.day,
         extract(epoch from (d.day + 1)::timestamp at time zone 'Asia/Shanghai' - m.now)::float8 as day_ends_secs,
         coalesce(c.closed_until > m.now, false) as shut,
         greatest(extract(epoch from c.closed_until - m.now), 0)::float8 as shut_secs,
         greatest($4, s.interval_secs, l.interval_secs)
           / $7 / coalesce(slow_share(slow_steps(c.closed_until, c.slow_until, m.now)), 1) as interval_secs,
         least($9::bigint, s.per_day) as per_day,
         case when m.now - make_interval(secs => $11) >= d.day::timestamp at time zone 'Asia/Shanghai'
              then $10::bigint
              else 0 end as back
    from (select clock() as now) m
   cross join lateral (select (m.now at time zone 'Asia/Shanghai')::date as day) d
    left join closure c
      on c.platform_id = $1
     and c.endpoint = $2
    left join learned l
      on l.platform_id = $1
     and l.endpoint = $2
   cross join lateral (
         select max(s.interval_secs) as interval_secs, min(s.per_day) as per_day
           from limit_setting s
           join process p on p.process_id = s.process_id
          where s.platform_id = $1
            and s.endpoint = $2
            and not s.shadow
            and p.beat_at > m.now - interval '30 s') s
), spent as materialized (
  select greatest(d.used - m.back, 0) as used
    from moment m
    join day_count d
      on d.platform_id = $1
     and d.endpoint = $2
     and d.day = m.day
   where m.per_day is not null
     for update of d
), wanted as materialized (
  select least(greatest(sign($3::bigint)::bigint, least($3::bigint, floor($8 / nullif(m.interval_secs, 0))::bigint)),
               m.per_day - coalesce((select used from spent), 0)) as slots,
         m.per_day is not null and m.day_ends_secs < 2 as too_late,
         $6 + greatest($8, m.interval_secs) as ahead_secs
    from moment m
), set_right as (
  update pace p
     set tat = clock() + make_interval(secs => w.ahead_secs)
    from wanted w
   where p.platform_id = $1
     and p.endpoint = $2
     and p.tat > clock() + make_interval(secs => w.ahead_secs)
  returning 1
), granted as (
  insert into pace as p (platform_id, endpoint, tat, used_on, used)
  select $1, $2, m.now + make_interval(secs => $6 + $8), m.day, 0
    from moment m, wanted w
   where not m.shut
     and not w.too_late
     and w.slots > 0
     and not exists (select from set_right)
  on conflict (platform_id, endpoint) do update
     set tat = greatest(p.tat, clock() - make_interval(secs => $5))
               + make_interval(secs => (select w.slots * m.interval_secs from wanted w, moment m)),
         used = case when p.used_on = excluded.used_on then greatest(p.used - (select m.back from moment m), 0) else 0 end
                + (select w.slots from wanted w),
         used_on = excluded.used_on
   where p.tat < clock() + make_interval(secs => $6)
  returning extract(epoch from p.tat - clock())::float8 as ends_secs, p.xmax = 0 as made
), counted as (
  insert into day_count as d (platform_id, endpoint, day, used)
  select $1, $2, m.day, w.slots
    from granted g, moment m, wanted w
   where m.per_day is not null
     and not g.made
  on conflict (platform_id, endpoint, day) do update
     set used = greatest(d.used - (select m.back from moment m), 0) + excluded.used
   where greatest(d.used - (select m.back from moment m), 0) + excluded.used <= (select m.per_day from moment m)
  returning 1
), given_back as (
  update day_count d
     set used = greatest(d.used - m.back, 0)
    from moment m
   where m.back > 0
     and d.platform_id = $1
     and d.endpoint = $2
     and d.day = m.day
     and not exists (select from counted)
), opened as (
  update closure c
     set closed_until = m.now,
         slow_until = m.now
    from moment m
   where m.back > 0
     and c.platform_id = $1
     and c.endpoint = $2
     and c.reason = $12
     and c.errcode is null
     and c.closed_until > m.now
), given_back_shown as (
  update pace p
     set used = greatest(p.used - m.back, 0)
    from moment m
   where m.back > 0
     and p.platform_id = $1
     and p.endpoint = $2
     and p.used_on = m.day
     and not exists (select from granted)
     and not exists (select from set_right)
)
select m.shut,
       coalesce(m.shut_secs, 0) as shut_secs,
       m.interval_secs::float8 as interval_secs,
       case when not g.made and (m.per_day is null or exists (select from counted)) then w.slots end as slots,
       g.ends_secs - w.slots * m.interval_secs as wait_secs,
       case when m.per_day is not null then m.day_ends_secs end as day_ends_secs,
       coalesce(w.slots <= 0 and $3 > 0, false) as day_used_up,
       case when w.too_late then m.day_ends_secs + 0.1
            when g.made then $8
            else least(extract(epoch from p.tat - m.now), w.ahead_secs) - $6 end::float8 as later_secs
  from moment m
 cross join wanted w
  left join granted g on true
  left join pace p
    on p.platform_id = $1
   and p.endpoint = $2
