-- coverage_write.sql: counts the checks of a run: every item in scope in exactly one bucket.
-- $1 run, arrays, one entry for each check: $2 check, $3 its unit ('mini_program', 'account_with_wish', 'wish'),
-- $4 why due items were left (null: none should be), $5 whether that is a hold.
-- The total is counted from merchant and wish alone; the buckets from item. Repeating it replaces the rows.
with moment as materialized (
  select clock() as now
), r as materialized (
  select * from run where run_id = $1
), wanted as materialized (
  select w.check_name, w.unit, w.left_because, w.left_by_hold
    from unnest($2::text[], $3::text[], $4::text[], $5::boolean[]) as w (check_name, unit, left_because, left_by_hold)
), scope as materialized (
  select u.unit, s.appid, s.counterpart
    from r
   cross join (select distinct unit from wanted) u
   cross join lateral run_scope(r, u.unit) s
), total as materialized (
  select unit, count(*) as items
    from scope
   group by unit
), counted as materialized (
  select w.check_name, b.bucket, b.reason, count(*) as items
    from moment m
   cross join r
   cross join wanted w
    join item i
      on i.platform_id = r.platform_id
     and i.check_name = w.check_name
    join scope s
      on s.unit = w.unit
     and s.appid = i.appid
     and s.counterpart = i.counterpart
   cross join lateral item_bucket(i, r.started_at, w.left_because, w.left_by_hold, m.now) b
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
