-- A platform without a ticket has no age of it: greatest() passes nulls over, and said zero.

create or replace view wxpatrol.platforms as
select p.component_appid as platform,
       p.nickname,
       p.enabled,
       case when p.secret_sealed is null then 'not set' else 'set' end as secret,
       p.ticket_at,
       case when p.ticket_at is not null
            then date_trunc('second', greatest(t.now - p.ticket_at, interval '0')) end as ticket_age,
       case when p.event_token_sealed is null then 'not set' else 'set' end as event_token,
       case when p.event_key_sealed is null then 'not set' else 'set' end as event_key,
       l.limits,
       case when p.schedules is null then 'all'
            when cardinality(p.schedules) = 0 then 'none'
            else array_to_string(p.schedules, ' ') end as schedules,
       p.halted_at,
       p.halt_reason,
       (select count(*)
          from wxpatrol_data.merchant m
         where m.platform_id = p.platform_id
           and m.withdrawn_at is null) as merchants,
       p.created_at
  from (select (select m.now from wxpatrol_data.moment m) as now) t
 cross join wxpatrol_data.platform p
  left join lateral (
       select string_agg(l.endpoint || case when l.per_merchant then '_merchant' else '' end || '=' || l.limit_text, ', '
                         order by l.endpoint, l.per_merchant) as limits
         from wxpatrol_data.platform_limit l
        where l.platform_id = p.platform_id) l on true
 order by p.component_appid;
