-- coverage_write.sql: counts one check of a run: every item in scope in exactly one bucket.
-- $1 run, $2 check, $3 its unit ('mini_program', 'account_with_wish', 'wish'), $4 why due items were left (null: none
-- should be), $5 whether that is a hold.
-- The total is counted from merchant and wish alone; the buckets from item. Repeating it replaces the row.
with moment as materialized (
  select clock() as now
), r as materialized (
  select * from run where run_id = $1
), scope as materialized (
  select s.appid, s.counterpart from r, lateral run_scope(r, $3) s
), counted as materialized (
  select b.bucket, b.reason, count(*) as items
    from moment m
   cross join r
    join scope s on true
    join item i
      on i.platform_id = r.platform_id
     and i.appid = s.appid
     and i.check_name = $2
     and i.counterpart = s.counterpart
   cross join lateral item_bucket(i, r.started_at, $4, $5, m.now) b
   group by b.bucket, b.reason
)
insert into coverage as c (run_id, check_name, total, done, fresh, skipped, deferred, failed, reasons)
select $1, $2,
       (select count(*) from scope),
       coalesce(sum(items) filter (where bucket = 'done'), 0),
       coalesce(sum(items) filter (where bucket = 'fresh'), 0),
       coalesce(sum(items) filter (where bucket = 'skipped'), 0),
       coalesce(sum(items) filter (where bucket = 'deferred'), 0),
       coalesce(sum(items) filter (where bucket = 'failed'), 0),
       coalesce((select jsonb_object_agg(g.bucket, g.reasons)
                   from (select bucket, jsonb_object_agg(reason, items) as reasons
                           from counted
                          where reason is not null
                          group by bucket) g), '{}')
  from counted
on conflict (run_id, check_name) do update
   set total = excluded.total,
       done = excluded.done,
       fresh = excluded.fresh,
       skipped = excluded.skipped,
       deferred = excluded.deferred,
       failed = excluded.failed,
       reasons = excluded.reasons
