-- merchant_close.sql: merchants' endpoints are left alone until their time, and why.
-- $1 platform, arrays: $2 appid, $3 endpoint, $4 closed until, $5 class, $6 errcode, $7 whether what is due before waits with
-- it (a day or a month; a minute is waited for by the run).
-- Locks the items of these merchants on these endpoints; a record has locked them before, in key order (record_lock.sql).
-- The limit's key is the endpoint: other checks of the merchant that call it wait as well, those of other endpoints do not.
with said as materialized (
  select distinct on (s.appid, s.endpoint) $1::int as platform_id, s.appid, s.endpoint, s.until, s.class, s.errcode, s.waits, m.now
    from (select clock() as now) m,
         unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[], $7::boolean[])
           as s (appid, endpoint, until, class, errcode, waits)
   order by s.appid, s.endpoint, s.until desc
), kept as (
  insert into merchant_closure as c (platform_id, appid, endpoint, closed_until, since, class, errcode)
  select s.platform_id, s.appid, s.endpoint, s.until, s.now, s.class, s.errcode
    from said s
  on conflict (platform_id, appid, endpoint) do update
     set closed_until = greatest(c.closed_until, excluded.closed_until),
         since = case when c.closed_until > clock() then c.since else excluded.since end,
         class = excluded.class,
         errcode = excluded.errcode
)
update item i
   set free_at = greatest(i.free_at, s.until),
       due_at = case when w.waits then s.until else i.due_at end,
       due_since = case when w.waits then s.until else i.due_since end,
       outcome = case when w.waits then 'deferred' else i.outcome end,
       reason = case when w.waits then s.class else i.reason end,
       class = case when w.waits then s.class else i.class end,
       errcode = case when w.waits then s.errcode else i.errcode end,
       recorded_at = case when w.waits then s.now else i.recorded_at end
  from said s,
       item o
 cross join lateral (
       select s.waits and o.leased_by is null and o.due_at < s.until as waits) w
 where o.platform_id = s.platform_id
   and o.appid = s.appid
   and check_endpoint(o.check_name) = s.endpoint
   and i.platform_id = o.platform_id
   and i.appid = o.appid
   and i.check_name = o.check_name
   and i.counterpart = o.counterpart
