-- ask_grant.sql: one more ask for each mini program whose phone is still missing, and the ask wakes if it slept at its
-- maximum. Answers with the granted ones and whether the ask woke. Cool-down, quiet hours and the day's cap stay.
-- $1 platform, $2 appids without duplicates
-- Locks the items in key order before the phones, as recording does; a leased item is left to its holder.
with locked as materialized (
  select i.appid, i.reason, i.leased_by
    from item i
   where i.platform_id = $1
     and i.appid = any ($2)
     and i.check_name = 'ask'
     and i.counterpart = ''
   order by i.platform_id, i.appid
     for update
), granted as (
  update phone p
     set asks_granted = p.asks_granted + 1
    from merchant m
   where p.platform_id = $1
     and p.appid = any ($2)
     and p.state = 'missing'
     and m.platform_id = p.platform_id
     and m.appid = p.appid
     and m.withdrawn_at is null
     and (select count(*) from locked) >= 0
  returning p.appid
), woken as (
  update item i
     set due_at = m.now,
         due_since = m.now,
         outcome = null,
         reason = null,
         attempts = 0
    from (select clock() as now) m, granted g, locked l
   where i.platform_id = $1
     and i.appid = g.appid
     and i.check_name = 'ask'
     and i.counterpart = ''
     and l.appid = i.appid
     and l.leased_by is null
     and l.reason = 'maximum_reached'
  returning i.appid
)
select g.appid, w.appid is not null as woken
  from granted g
  left join woken w on w.appid = g.appid
