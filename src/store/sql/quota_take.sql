-- quota_take.sql: takes the right to ask WeChat about one merchant's quota: at most so often for an endpoint and day, and once
-- for a merchant, endpoint and day, over all processes.
-- $1 platform, $2 endpoint asked about, $3 a check whose items tell which merchants can be called, $4 any text that differs
-- from time to time, $5 questions a day
-- Of the merchants that were checked well and are due last, one by chance; none while the platform is halted or quota_get is
-- held. The turn is used up even if the question is never asked. Served by item_due, read backwards.
with moment as materialized (
  select m.now, (m.now at time zone 'Asia/Shanghai')::date as day
    from (select clock() as now) m
), near as materialized (
  select i.appid, i.outcome
    from item i
   where i.platform_id = $1
     and i.check_name = $3
     and not i.held
     and i.due_at < 'infinity'
   order by i.due_at desc
   limit 500
), chosen as materialized (
  select n.appid
    from near n, moment m
   where n.outcome = 'done'
     and not exists (select from quota q
                      where q.platform_id = $1
                        and q.appid = n.appid
                        and q.endpoint = $2
                        and (q.asked_at at time zone 'Asia/Shanghai')::date >= m.day)
     and not exists (select from platform p
                      where p.platform_id = $1
                        and p.halted_at is not null)
     and not exists (select from hold h
                      where h.platform_id = $1
                        and h.appid is null
                        and h.endpoint = 'quota_get'
                        and (h.until is null or h.until > m.now))
   order by md5(n.appid || $4)
   limit 1
), turn as (
  insert into quota_turn as t (platform_id, endpoint, day, asked)
  select $1, $2, m.day, 1
    from moment m, chosen
  on conflict (platform_id, endpoint, day) do update
     set asked = t.asked + 1
   where t.asked < $5
  returning 1
)
insert into quota as q (platform_id, appid, endpoint, asked_at)
select $1, c.appid, $2, m.now
  from moment m, chosen c, turn
on conflict (platform_id, appid, endpoint) do update
   set asked_at = excluded.asked_at,
       errcode = null
 where (q.asked_at at time zone 'Asia/Shanghai')::date < (excluded.asked_at at time zone 'Asia/Shanghai')::date
returning q.appid
