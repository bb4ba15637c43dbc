-- The limits of each endpoint as they stand now.

create view wxpatrol.limits as
select p.component_appid as platform,
       n.endpoint,
       case when c.closed_until > t.now then c.closed_until end as closed_until,
       case when c.slow_until > t.now then c.slow_until end as slow_until,
       case when c.slow_until > t.now then c.reason end as reason,
       case when c.slow_until > t.now then c.errcode end as errcode,
       exists (select from wxpatrol_data.hold h
                where h.platform_id = p.platform_id
                  and h.endpoint = n.endpoint
                  and (h.until is null or h.until > t.now)) as held,
       a.tat as next_slot_at,
       d.used as used_today,
       q.daily_limit as wechat_daily_limit,
       q.used as wechat_used,
       q.asked_at as wechat_asked_at,
       coalesce(w.items, 0)::bigint as waiting_items,
       w.due_since as waiting_since
  from (select (select m.now from wxpatrol_data.moment m) as now) t
 cross join wxpatrol_data.platform p
 cross join (values (1, 'checkmobile'), (2, 'getcallbackconfig'), (3, 'wxamplink'), (4, 'wxamplinkget'), (5, 'api_component_token'),
                    (6, 'api_authorizer_token'), (7, 'api_get_authorizer_list'), (8, 'api_get_authorizer_info'),
                    (9, 'api_start_push_ticket'), (10, 'quota_get'))
         as n (place, endpoint)
  left join wxpatrol_data.closure c on c.platform_id = p.platform_id and c.endpoint = n.endpoint
  left join wxpatrol_data.pace a on a.platform_id = p.platform_id and a.endpoint = n.endpoint
  left join wxpatrol_data.day_count d
    on d.platform_id = p.platform_id and d.endpoint = n.endpoint and d.day = (t.now at time zone 'Asia/Shanghai')::date
  left join lateral (
       select q.daily_limit, q.used, q.asked_at
         from wxpatrol_data.quota q
        where q.platform_id = p.platform_id
          and q.endpoint = n.endpoint
        order by q.asked_at desc
        limit 1) q on true
  left join (
       select i.platform_id,
              wxpatrol_data.check_endpoint(i.check_name) as endpoint,
              count(*) as items,
              min(i.due_since) as due_since
         from wxpatrol_data.item i
        where not i.held
          and i.due_at < 'infinity'
          and i.due_at <= (select m.now from wxpatrol_data.moment m)
        group by 1, 2) w
    on w.platform_id = p.platform_id
   and w.endpoint = n.endpoint
 order by p.component_appid, n.place;
comment on view wxpatrol.limits is 'Each endpoint as it stands now: closed or slowed and why, what is used, and how many items wait for it.';
comment on column wxpatrol.limits.platform is 'The component''s appid.';
comment on column wxpatrol.limits.endpoint is 'The WeChat address.';
comment on column wxpatrol.limits.closed_until is 'Until when no process calls it; null: it is open.';
comment on column wxpatrol.limits.slow_until is 'Until when it runs at half its pace; null: at its full pace.';
comment on column wxpatrol.limits.reason is 'Why it is closed or slow; null: it is neither.';
comment on column wxpatrol.limits.errcode is 'WeChat''s code behind that; null: none.';
comment on column wxpatrol.limits.held is 'Whether an operator''s hold names it.';
comment on column wxpatrol.limits.next_slot_at is 'The next slot that no process has taken yet; a past time means that there is room; null: not called since Postgres last crashed.';
comment on column wxpatrol.limits.used_today is 'Calls taken today (platform time) from its limit a day; null: it has none, or none were taken.';
comment on column wxpatrol.limits.wechat_daily_limit is 'Calls a day as WeChat last told; null: WeChat was not asked.';
comment on column wxpatrol.limits.wechat_used is 'Calls used that day as WeChat last told; null: WeChat was not asked.';
comment on column wxpatrol.limits.wechat_asked_at is 'When WeChat told that; null: WeChat was not asked.';
comment on column wxpatrol.limits.waiting_items is 'Items that are due now and call it.';
comment on column wxpatrol.limits.waiting_since is 'Since when the oldest of them is due; null: none waits.';
