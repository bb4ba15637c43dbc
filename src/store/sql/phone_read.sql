-- phone_read.sql: readings of phones. A bound phone starts the count of asks afresh.
-- $1 platform, arrays: $2 appid, $3 state. Rows are written in key order.
-- Answers with the merchants whose phone is bound now and was read before, in one list: a first reading of a bound phone leaves
-- the ask asleep, as it was planned (a row that was inserted, and not updated, has no xmax).
with moment as materialized (
  select clock() as now
), read as (
  insert into phone as p (platform_id, appid, state, since, read_at, bound_at)
  select $1, s.appid, s.state, m.now, m.now, case when s.state = 'bound' then m.now end
    from moment m,
         unnest($2::text[], $3::text[]) as s (appid, state)
   order by s.appid
  on conflict (platform_id, appid) do update
     set state = excluded.state,
         since = case when p.state = excluded.state then p.since else excluded.since end,
         read_at = excluded.read_at,
         bound_at = coalesce(excluded.bound_at, p.bound_at),
         asks_granted = case when excluded.state = 'bound' then 0 else p.asks_granted end
  returning case when p.state = 'bound' and p.xmax <> 0 then p.appid end as bound_again
)
select coalesce(array_agg(bound_again) filter (where bound_again is not null), '{}') as bound_again
  from read
