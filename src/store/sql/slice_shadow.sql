-- slice_shadow.sql: counts calls against a limit that is not enforced: how many of them it would have held back.
-- $1 platform, $2 endpoint, $3 calls, $4 seconds from slot to slot (0: no rate), $5 seconds that unused slots are kept, the
-- time in which the calls came included, $6 calls a day, or null. Answers with what was held back today.
-- Locks the endpoint's row of pace, then the day's row of day_count, by itself. Calls that are over the limit take no slot.
with moment as materialized (
  select m.now, (m.now at time zone 'Asia/Shanghai')::date as day
    from (select clock() as now) m
), row_of_pace as materialized (
  select p.tat
    from pace p
   where p.platform_id = $1
     and p.endpoint = $2
     for update
), admitted as materialized (
  select m.now, m.day, s.began,
         case when $4 > 0
              then least($3::bigint, greatest(0, floor(extract(epoch from m.now - s.began) / $4)::bigint + 1))
              else $3::bigint end as calls
    from moment m
   cross join lateral (
         select greatest((select tat from row_of_pace), m.now - make_interval(secs => $5)) as began) s
), paced as (
  insert into pace as p (platform_id, endpoint, tat, used_on, used)
  select $1, $2, a.began + make_interval(secs => a.calls * $4), a.day, $3
    from admitted a
  on conflict (platform_id, endpoint) do update
     set tat = excluded.tat,
         used = case when p.used_on = excluded.used_on then p.used else 0 end + excluded.used,
         used_on = excluded.used_on
)
insert into day_count as d (platform_id, endpoint, day, used, held_back)
select $1, $2, a.day, least(a.calls, $6::bigint), $3 - least(a.calls, $6::bigint)
  from admitted a
on conflict (platform_id, endpoint, day) do update
   set used = greatest(d.used, least(d.used + excluded.used, $6::bigint)),
       held_back = d.held_back + $3 - (greatest(d.used, least(d.used + excluded.used, $6::bigint)) - d.used)
returning d.held_back
