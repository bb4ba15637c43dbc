-- Every ask that was written down.

create view wxpatrol.asks as
select p.component_appid as platform,
       t.appid,
       m.nickname,
       t.number,
       t.made_at,
       t.outcome,
       t.settled_at,
       t.errcode,
       f.state as phone,
       f.since as phone_since
  from wxpatrol_data.intent t
  join wxpatrol_data.platform p on p.platform_id = t.platform_id
  left join wxpatrol_data.merchant m on m.platform_id = t.platform_id and m.appid = t.appid
  left join wxpatrol_data.phone f on f.platform_id = t.platform_id and f.appid = t.appid
 where t.purpose = 'ask'
 order by t.made_at desc, p.component_appid, t.appid, t.number desc;
comment on view wxpatrol.asks is 'Every ask for a phone, newest first: whom, when, and whether it was made.';
comment on column wxpatrol.asks.platform is 'The component''s appid.';
comment on column wxpatrol.asks.appid is 'The mini program whose administrator was asked.';
comment on column wxpatrol.asks.nickname is 'Its name; null: not known.';
comment on column wxpatrol.asks.number is 'Counts the asks of this mini program that were written down.';
comment on column wxpatrol.asks.made_at is 'When it was written down, just before the call.';
comment on column wxpatrol.asks.outcome is 'made, not_made, or unknown: the answer was lost, so it counts as made.';
comment on column wxpatrol.asks.settled_at is 'When the answer was recorded; null: no answer yet, or it was lost.';
comment on column wxpatrol.asks.errcode is 'WeChat''s code; null: none.';
comment on column wxpatrol.asks.phone is 'bound or missing, as last read; null: not read yet.';
comment on column wxpatrol.asks.phone_since is 'Since when; null: not read yet.';
