-- The keys of merchants: whose endpoint is closed by the merchant's own quota, and what WeChat said of whom.

create view wxpatrol.merchant_limits as
select p.component_appid as platform,
       k.appid as merchant,
       g.nickname,
       k.endpoint,
       case when c.closed_until > t.now then c.closed_until end as closed_until,
       case when c.closed_until > t.now then c.since end as closed_since,
       case when c.closed_until > t.now then c.class end as reason,
       case when c.closed_until > t.now then c.errcode end as errcode,
       coalesce(w.items, 0) as waiting_items,
       q.daily_limit as wechat_daily_limit,
       q.used as wechat_used,
       round(q.rate_count * 60.0 / q.rate_seconds, 2) as wechat_per_minute,
       round(q.platform_count * 60.0 / q.platform_seconds, 2) as wechat_platform_per_minute,
       q.asked_at as wechat_asked_at,
       q.errcode as wechat_refused_errcode
  from wxpatrol_data.moment t
 cross join (
       select c.platform_id, c.appid, c.endpoint
         from wxpatrol_data.merchant_closure c
        where c.closed_until > (select m.now from wxpatrol_data.moment m)
        union
       select q.platform_id, q.appid, q.endpoint
         from wxpatrol_data.quota q) k
  join wxpatrol_data.platform p on p.platform_id = k.platform_id
  left join wxpatrol_data.merchant g on g.platform_id = k.platform_id and g.appid = k.appid
  left join wxpatrol_data.merchant_closure c
    on c.platform_id = k.platform_id and c.appid = k.appid and c.endpoint = k.endpoint
  left join wxpatrol_data.quota q on q.platform_id = k.platform_id and q.appid = k.appid and q.endpoint = k.endpoint
  left join lateral (
       select count(*) as items
         from wxpatrol_data.item i
        where i.platform_id = k.platform_id
          and i.appid = k.appid
          and wxpatrol_data.check_endpoint(i.check_name) = k.endpoint
          and not i.held
          and i.due_at < 'infinity'
          and i.free_at > t.now) w on true
 order by p.component_appid, c.closed_until desc nulls last, k.endpoint, k.appid;

comment on view wxpatrol.merchant_limits is 'limits of single merchants: whose quota is used up, and what WeChat said of whom';
comment on column wxpatrol.merchant_limits.platform is 'The platform''s appid.';
comment on column wxpatrol.merchant_limits.merchant is 'The merchant''s appid.';
comment on column wxpatrol.merchant_limits.nickname is 'Its name.';
comment on column wxpatrol.merchant_limits.endpoint is 'The WeChat address by its short name.';
comment on column wxpatrol.merchant_limits.closed_until is 'Nothing is called there for this merchant before then; null: open.';
comment on column wxpatrol.merchant_limits.closed_since is 'When WeChat said so first.';
comment on column wxpatrol.merchant_limits.reason is 'quota_minute, quota_day or quota_month.';
comment on column wxpatrol.merchant_limits.errcode is 'WeChat''s code; null: an answer about the quota said that the day is used up.';
comment on column wxpatrol.merchant_limits.waiting_items is 'Items of the merchant that wait for the endpoint''s opening.';
comment on column wxpatrol.merchant_limits.wechat_daily_limit is 'Calls a day that WeChat allows the merchant; null: unknown.';
comment on column wxpatrol.merchant_limits.wechat_used is 'Calls of the day it was asked, whoever made them.';
comment on column wxpatrol.merchant_limits.wechat_per_minute is 'The merchant''s frequency limit; null: unknown.';
comment on column wxpatrol.merchant_limits.wechat_platform_per_minute is 'The frequency limit of calls on behalf of the merchant; null: unknown.';
comment on column wxpatrol.merchant_limits.wechat_asked_at is 'When WeChat was asked; null: never.';
comment on column wxpatrol.merchant_limits.wechat_refused_errcode is 'The code that the last question was refused with.';
