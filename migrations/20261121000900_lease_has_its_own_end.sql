-- A lease gets an end of its own, beside the due time. Claiming and giving back then change no indexed column: Postgres
-- writes the row in place (a heap-only tuple), where it wrote four index entries for each claim before.
-- Binaries that take the due time for the end of the lease may not run on this: see the schema step at the end.

alter table item add column leased_until timestamptz;
comment on column item.leased_until is 'The lease ends then, unless it is prolonged; null when not leased. An item whose lease is over is due again, because claiming does not touch due_at.';
comment on column item.leased_by is 'The process that holds the lease, or held it last when leased_until is over; null when not leased.';
comment on column item.due_at is 'The item may be claimed from then on, unless it is leased; infinity: dormant.';

update item
   set leased_until = due_at,
       due_at = due_since
 where leased_by is not null;

alter table item add constraint a_lease_has_its_end check ((leased_by is null) = (leased_until is null));

create or replace function item_bucket(i item, run_started_at timestamptz, left_because text, left_by_hold boolean,
                                       moment timestamptz)
  returns table (bucket text, reason text)
  language sql immutable rows 1
  as $$
    select case
             when i.held and not coalesce(i.recorded_at >= run_started_at and i.outcome = 'done', false) then 'skipped'
             when i.leased_until > moment then 'deferred'
             when i.outcome = 'done' and i.recorded_at >= run_started_at then 'done'
             when i.due_at <= moment and left_because is not null and left_by_hold then 'skipped'
             when i.due_at <= moment then 'deferred'
             when i.outcome = 'done' then 'fresh'
             when i.outcome = 'again' then 'deferred'
             when i.outcome is null then 'deferred'
             else i.outcome
           end,
           case
             when i.held and not coalesce(i.recorded_at >= run_started_at and i.outcome = 'done', false) then 'held'
             when i.leased_until > moment then 'leased'
             when i.outcome = 'done' and i.recorded_at >= run_started_at then null
             when i.due_at <= moment then coalesce(left_because, i.reason, 'due')
             when i.outcome = 'done' then null
             when i.outcome is null then coalesce(left_because, 'due')
             else i.reason
           end
  $$;

-- As before, but that leased items no longer count by their due time: what is leased is not waiting.
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
          and (i.leased_until is null or i.leased_until <= (select m.now from wxpatrol_data.moment m))
        group by 1, 2) w
    on w.platform_id = p.platform_id
   and w.endpoint = n.endpoint
 order by p.component_appid, n.place;

-- Every record writes a new entry for its row. Room in the pages for one more of each keeps them from being split and
-- tidied again and again within a patrol. For pages made from now on; `reindex index concurrently` remakes the others.
alter index item_pkey set (fillfactor = 50);

insert into schema_step (step, tolerates) values (2, 2);
