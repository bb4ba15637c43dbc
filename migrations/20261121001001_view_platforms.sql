-- The platforms of this installation, without a secret.

create view wxpatrol.platforms as
select p.component_appid as platform,
       p.nickname,
       p.enabled,
       case when p.secret_sealed is null then 'not set' else 'set' end as secret,
       p.ticket_at,
       date_trunc('second', greatest(t.now - p.ticket_at, interval '0')) as ticket_age,
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
comment on view wxpatrol.platforms is 'The platforms of this installation: what each has been given, how it stands, and how many merchants it has.';
comment on column wxpatrol.platforms.platform is 'The component''s appid.';
comment on column wxpatrol.platforms.nickname is 'What people call it; null: nobody said.';
comment on column wxpatrol.platforms.enabled is 'Whether it is patrolled at all.';
comment on column wxpatrol.platforms.secret is 'Whether its AppSecret is stored: set or not set. One that a process''s environment names needs none here.';
comment on column wxpatrol.platforms.ticket_at is 'When its newest verify ticket was stored; null: there is none.';
comment on column wxpatrol.platforms.ticket_age is 'How long ago that was; a ticket dies after twelve hours. null: there is none.';
comment on column wxpatrol.platforms.event_token is 'Whether the token of its authorization event URL is stored: set or not set.';
comment on column wxpatrol.platforms.event_key is 'Whether the EncodingAESKey of that URL is stored: set or not set.';
comment on column wxpatrol.platforms.limits is 'Its own limits; null: those of the environment hold.';
comment on column wxpatrol.platforms.schedules is 'The schedules that are on for it: all, none, or their names.';
comment on column wxpatrol.platforms.halted_at is 'When its breaker opened; null: it is closed.';
comment on column wxpatrol.platforms.halt_reason is 'Why; null: it is closed.';
comment on column wxpatrol.platforms.merchants is 'Merchants that authorize it.';
comment on column wxpatrol.platforms.created_at is 'Since when it is known here.';
