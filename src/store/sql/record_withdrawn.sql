-- record_withdrawn.sql: merchants that answered that they are not authorized: their tokens go, planning follows. Who authorized
-- again after WeChat was asked is not believed to be gone: planning looks again, and whatever was settled so is tried again.
-- $1 platform, arrays: $2 appid, $3 when WeChat was asked (null: it told by itself). Locks the merchants in key order.
with refused as materialized (
  select r.appid, max(coalesce(r.asked_at, 'infinity')) as asked_at
    from unnest($2::text[], $3::timestamptz[]) as r (appid, asked_at)
   group by r.appid
), named as materialized (
  select m.platform_id, m.appid, m.word_at is null or m.word_at < r.asked_at as gone
    from refused r
    join merchant m
      on m.platform_id = $1
     and m.appid = r.appid
   where m.withdrawn_at is null
   order by m.platform_id, m.appid
     for no key update of m
), marked as (
  update merchant m
     set withdrawn_at = case when n.gone then clock() end,
         word_at = case when n.gone then clock() else m.word_at end,
         plan_stale = true
    from named n
   where m.platform_id = n.platform_id
     and m.appid = n.appid
)
update credential c
   set access_sealed = null,
       access_expires_at = null,
       refresh_sealed = null,
       leased_until = null,
       fence = c.fence + 1
  from named n
 where n.gone
   and c.platform_id = n.platform_id
   and c.appid = n.appid
