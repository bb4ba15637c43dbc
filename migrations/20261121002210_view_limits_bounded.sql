-- The view limits no longer counts every due item: the ten thousand longest due ones of each check are looked at.
-- Everything else is as it was, word for word. Half applied: the older view stays.

create or replace view wxpatrol.limits as
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
       coalesce(d.used, case when a.used_on = t.day then a.used end) as used_today,
       q.daily_limit as wechat_daily_limit,
       q.used as wechat_used,
       q.asked_at as wechat_asked_at,
       coalesce(w.items, 0)::bigint as waiting_items,
       w.due_since as waiting_since,
       s.setting as set_limit,
       coalesce(s.differ, false) as settings_differ,
       coalesce(s.shadow, false) as shadow,
       round((60 / l.interval_secs)::numeric, 2) as learned_per_minute,
       l.learned_at,
       round((60 / nullif(greatest(s.interval_secs, case when s.setting is not null and not s.shadow then l.interval_secs end), 0)
              * wxpatrol_data.slow_share(y.steps))::numeric, 2) as effective_per_minute,
       wxpatrol_data.slow_share(y.steps)::numeric as pace_share,
       nullif(greatest(a.tat, c.closed_until, t.now), t.now) as free_at,
       coalesce(d.held_back, 0) as shadow_held_back_today,
       s.merchant_setting as merchant_set_limit,
       round((60 / l.merchant_interval_secs)::numeric, 2) as merchant_learned_per_minute,
       coalesce(k.merchants, 0)::bigint as merchants_closed,
       w.checks as waiting_checks,
       case when coalesce(w.items, 0) = 0 then null
            when exists (select from wxpatrol_data.hold h
                          where h.platform_id = p.platform_id
                            and h.endpoint = n.endpoint
                            and (h.until is null or h.until > t.now)) then 'an operator'
            when c.closed_until > t.now then 'its opening'
            when w.barred = w.items then 'their merchants'' own limits'
            when a.tat > t.now then 'a slot'
            else 'a claim' end as waits_for
  from (select m.now, (m.now at time zone 'Asia/Shanghai')::date as day from wxpatrol_data.moment m) t
 cross join wxpatrol_data.platform p
 cross join (values (1, 'checkmobile'), (2, 'getcallbackconfig'), (3, 'wxamplink'), (4, 'wxamplinkget'), (5, 'api_component_token'),
                    (6, 'api_authorizer_token'), (7, 'api_get_authorizer_list'), (8, 'api_get_authorizer_info'),
                    (9, 'api_start_push_ticket'), (10, 'quota_get'), (11, 'api_query_auth'))
         as n (place, endpoint)
  left join wxpatrol_data.closure c on c.platform_id = p.platform_id and c.endpoint = n.endpoint
  left join wxpatrol_data.pace a on a.platform_id = p.platform_id and a.endpoint = n.endpoint
  left join wxpatrol_data.day_count d
    on d.platform_id = p.platform_id and d.endpoint = n.endpoint and d.day = t.day
  left join wxpatrol_data.learned l on l.platform_id = p.platform_id and l.endpoint = n.endpoint
 cross join lateral (
       select coalesce(wxpatrol_data.slow_steps(c.closed_until, c.slow_until, t.now), 0) as steps) y
  left join lateral (
       select string_agg(distinct s.setting, ' | ' order by s.setting) as setting,
              string_agg(distinct s.merchant_setting, ' | ' order by s.merchant_setting) as merchant_setting,
              count(distinct s.setting) > 1 or count(distinct s.merchant_setting) > 1 as differ,
              bool_or(s.shadow) as shadow,
              max(s.interval_secs) filter (where not s.shadow) as interval_secs
         from wxpatrol_data.limit_setting s
         join wxpatrol_data.process r on r.process_id = s.process_id
        where s.platform_id = p.platform_id
          and s.endpoint = n.endpoint
          and r.beat_at > t.now - interval '30 s') s on true
  left join lateral (
       select count(*) as merchants
         from wxpatrol_data.merchant_closure k
        where k.platform_id = p.platform_id
          and k.endpoint = n.endpoint
          and k.closed_until > t.now) k on true
  left join lateral (
       select q.daily_limit, q.used, q.asked_at
         from wxpatrol_data.quota q
        where q.platform_id = p.platform_id
          and q.endpoint = n.endpoint
          and q.answered_at is not null
        order by q.asked_at desc
        limit 1) q on true
  left join (
       select g.platform_id,
              wxpatrol_data.check_endpoint(g.check_name) as endpoint,
              sum(g.items) as items,
              sum(g.barred) as barred,
              min(g.due_since) as due_since,
              string_agg(g.check_name || ' ' || g.items, ', ' order by g.check_name) as checks
         from wxpatrol_data.due_count g
        where g.items > 0
        group by 1, 2) w
    on w.platform_id = p.platform_id
   and w.endpoint = n.endpoint
 order by p.component_appid, n.place;
comment on column wxpatrol.limits.waiting_items is 'Items of its checks that are due and not leased, counted up to ten thousand for each check.';
