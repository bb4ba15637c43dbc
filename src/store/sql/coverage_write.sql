-- coverage_write.sql: counts the checks of a run: every item in scope in exactly one bucket.
-- $1 run, arrays, one entry for each check: $2 check, $3 its unit ('mini_program', 'account_with_wish', 'wish'),
-- $4 why due items were left (null: none should be), $5 whether that is a hold; $6 whether the run is over all merchants.
-- The total is counted from merchant and wish alone; the buckets from item. Repeating it replaces the rows.
-- Nearly every merchant is in the scope of a run over all of them. So its items are counted as they stand in their table, but
-- for those whose merchant is not in the scope; looking each merchant up took three times as long.
with r as materialized (
  select * from run where run_id = $1
), wanted as materialized (
  select w.check_name, w.unit, w.left_because, w.left_by_hold, $6 and w.unit = 'mini_program' as of_all,
         r.platform_id, r.started_at, m.now
    from r
   cross join (select clock() as now) m
   cross join unnest($2::text[], $3::text[], $4::text[], $5::boolean[]) as w (check_name, unit, left_because, left_by_hold)
), total as materialized (
  select u.unit, count(*) as items
    from r
   cross join (select distinct unit from wanted) u
   cross join lateral run_scope(r, u.unit) s
   group by u.unit
), out_of_scope as materialized (
  select m.appid
    from r
    join merchant m
      on m.platform_id = r.platform_id
     and not merchant_in_scope(m, r.started_at)
   where $6
), counted as materialized (
  select w.check_name, b.bucket, b.reason, count(*) as items
    from wanted w
    join item i
      on i.platform_id = w.platform_id
     and i.check_name = w.check_name
   cross join lateral item_bucket(i, w.started_at, w.left_because, w.left_by_hold, w.now) b
   where $6
     and w.of_all
     and not exists (select from out_of_scope o where o.appid = i.appid)
   group by w.check_name, b.bucket, b.reason
   union all
  select w.check_name, b.bucket, b.reason, count(*) as items
    from r
   cross join wanted w
   cross join lateral run_scope(r, w.unit) s
    join item i
      on i.platform_id = w.platform_id
     and i.appid = s.appid
     and i.check_name = w.check_name
     and i.counterpart = s.counterpart
   cross join lateral item_bucket(i, w.started_at, w.left_because, w.left_by_hold, w.now) b
   where not w.of_all
   group by w.check_name, b.bucket, b.reason
)
insert into coverage as c (run_id, check_name, total, done, fresh, skipped, deferred, failed, reasons)
select $1, w.check_name,
       coalesce((select t.items from total t where t.unit = w.unit), 0),
       coalesce((select sum(n.items) from counted n where n.check_name = w.check_name and n.bucket = 'done'), 0),
       coalesce((select sum(n.items) from counted n where n.check_name = w.check_name and n.bucket = 'fresh'), 0),
       coalesce((select sum(n.items) from counted n where n.check_name = w.check_name and n.bucket = 'skipped'), 0),
       coalesce((select sum(n.items) from counted n where n.check_name = w.check_name and n.bucket = 'deferred'), 0),
       coalesce((select sum(n.items) from counted n where n.check_name = w.check_name and n.bucket = 'failed'), 0),
       coalesce((select jsonb_object_agg(g.bucket, g.reasons)
                   from (select bucket, jsonb_object_agg(reason, items) as reasons
                           from counted
                          where reason is not null and check_name = w.check_name
                          group by bucket) g), '{}')
  from wanted w
on conflict (run_id, check_name) do update
   set total = excluded.total,
       done = excluded.done,
       fresh = excluded.fresh,
       skipped = excluded.skipped,
       deferred = excluded.deferred,
       failed = excluded.failed,
       reasons = excluded.reasons
