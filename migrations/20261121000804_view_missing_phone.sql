-- Who has no phone, and what was done about it.

create view wxpatrol.missing_phone as
select p.component_appid as platform,
       f.appid,
       m.nickname,
       m.principal,
       f.since,
       f.read_at,
       coalesce(t.asks, 0) as asks,
       t.last_asked_at,
       case when i.due_at < 'infinity' and i.leased_by is null then i.due_at end as next_ask_at,
       case when i.held then 'held' else i.reason end as reason
  from wxpatrol_data.phone f
  join wxpatrol_data.merchant m on m.platform_id = f.platform_id and m.appid = f.appid
  join wxpatrol_data.platform p on p.platform_id = f.platform_id
  left join wxpatrol_data.item i
    on i.platform_id = f.platform_id and i.appid = f.appid and i.check_name = 'ask' and i.counterpart = ''
  left join lateral (
       select count(*) filter (where t.made_at > coalesce(f.bound_at, '-infinity')) as asks,
              max(t.made_at) as last_asked_at
         from wxpatrol_data.intent t
        where t.platform_id = f.platform_id
          and t.appid = f.appid
          and t.purpose = 'ask'
          and t.outcome <> 'not_made') t on true
 where f.state = 'missing'
   and m.withdrawn_at is null
 order by p.component_appid, f.since, f.appid;
comment on view wxpatrol.missing_phone is 'Mini programs without a phone, longest first, and how often their administrator was asked.';
comment on column wxpatrol.missing_phone.platform is 'The component''s appid.';
comment on column wxpatrol.missing_phone.appid is 'The mini program.';
comment on column wxpatrol.missing_phone.nickname is 'Its name; null: not known.';
comment on column wxpatrol.missing_phone.principal is 'The legal entity behind it; null: not known.';
comment on column wxpatrol.missing_phone.since is 'When the phone was first read as missing.';
comment on column wxpatrol.missing_phone.read_at is 'When it was last read.';
comment on column wxpatrol.missing_phone.asks is 'Asks that count towards the maximum: made or perhaps made since a phone was last bound.';
comment on column wxpatrol.missing_phone.last_asked_at is 'When the administrator was last asked, or may have been; null: never.';
comment on column wxpatrol.missing_phone.next_ask_at is 'When the next ask may be made; null: none is planned, the reason says why, or one is under way.';
comment on column wxpatrol.missing_phone.reason is 'Why no ask was made yet, in one word; null: nothing stands in the way.';
