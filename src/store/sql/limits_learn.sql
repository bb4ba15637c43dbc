-- limits_learn.sql: what the answers of the last two days about an endpoint's limits agree on.
-- $1 platform, $2 endpoint
-- Two merchants must say so, and of several the middle one counts: one odd merchant slows nobody. Answers that are older
-- count no more, so that a limit which WeChat raised is forgotten. May be repeated.
with moment as materialized (
  select clock() as now
), answer as materialized (
  select q.platform_seconds::float8 / q.platform_count as platform_secs,
         greatest(q.rate_seconds::float8 / q.rate_count, q.platform_seconds::float8 / q.platform_count) as merchant_secs
    from quota q, moment m
   where q.platform_id = $1
     and q.endpoint = $2
     and q.asked_at > m.now - interval '2 days'
     and q.answered_at > m.now - interval '2 days'
)
insert into learned as l (platform_id, endpoint, interval_secs, merchant_interval_secs, merchants, learned_at)
select $1, $2,
       case when count(a.platform_secs) >= 2 then percentile_disc(0.5) within group (order by a.platform_secs) end,
       case when count(a.merchant_secs) >= 2 then percentile_disc(0.5) within group (order by a.merchant_secs) end,
       count(*),
       (select now from moment)
  from answer a
on conflict (platform_id, endpoint) do update
   set interval_secs = excluded.interval_secs,
       merchant_interval_secs = excluded.merchant_interval_secs,
       merchants = excluded.merchants,
       learned_at = excluded.learned_at
