-- make_due.sql: makes due what is neither leased nor recorded since the run's start, a batch in key order.
-- $1 run, $2 the last appid of the batch before ('' at first), $3 merchants a batch.
-- Answers with the last appid looked at, null at the end. Messages keep their own time: an ask or invitation that waits for
-- a cool-down, a quota or a person is not brought forward. Locks the items in key order. May be repeated.
with r as materialized (
  select * from run where run_id = $1
), batch as materialized (
  select m.platform_id, m.appid
    from r
    join merchant m on m.platform_id = r.platform_id
   where m.appid > $2
     and m.withdrawn_at is null
     and (r.merchants is null or m.appid = any (r.merchants))
   order by m.appid
   limit $3
), waiting as materialized (
  select i.platform_id, i.appid, i.check_name, i.counterpart, r.started_at
    from r,
         batch b,
         item i
   where i.platform_id = b.platform_id
     and i.appid = b.appid
     and i.check_name = any (r.checks)
     and i.check_name not in ('ask', 'invite')
     and i.leased_by is null
     and i.due_at > r.started_at
     and (i.recorded_at is null or i.recorded_at < r.started_at)
     and i.outcome is distinct from 'deferred'
     and coalesce(i.reason, '') not in ('withdrawn', 'account_status', 'permission')
   order by i.platform_id, i.appid, i.check_name, i.counterpart
     for no key update of i
), due as (
  update item i
     set due_at = w.started_at,
         due_since = w.started_at,
         attempts = 0
    from waiting w
   where i.platform_id = w.platform_id
     and i.appid = w.appid
     and i.check_name = w.check_name
     and i.counterpart = w.counterpart
)
select max(appid) from batch
