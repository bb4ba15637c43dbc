-- Every message that was written down before it was made: asks and invitations. Half applied: there is no such view.

create view wxpatrol.intents as
select p.component_appid as platform,
       t.purpose,
       t.appid,
       m.nickname,
       t.counterpart,
       t.number,
       t.made_at,
       t.outcome,
       t.settled_at,
       t.errcode
  from wxpatrol_data.intent t
  join wxpatrol_data.platform p on p.platform_id = t.platform_id
  left join wxpatrol_data.merchant m on m.platform_id = t.platform_id and m.appid = t.appid
 order by t.made_at desc, p.component_appid, t.appid, t.purpose, t.counterpart, t.number desc;
comment on view wxpatrol.intents is 'Every message that was written down before it was made, newest first: asks and invitations.';
comment on column wxpatrol.intents.platform is 'The component''s appid.';
comment on column wxpatrol.intents.purpose is 'ask or invite.';
comment on column wxpatrol.intents.appid is 'The mini program that was asked, or the official account whose administrators were invited.';
comment on column wxpatrol.intents.nickname is 'Its name; null: not known.';
comment on column wxpatrol.intents.counterpart is 'The mini program of an invitation; empty for asks.';
comment on column wxpatrol.intents.number is 'Counts the messages of one purpose and subject that were written down.';
comment on column wxpatrol.intents.made_at is 'When it was written down, just before the call.';
comment on column wxpatrol.intents.outcome is 'made, not_made, or unknown: the answer was lost, so it counts as made.';
comment on column wxpatrol.intents.settled_at is 'When the answer was recorded; null: no answer yet, or it was lost.';
comment on column wxpatrol.intents.errcode is 'WeChat''s code; null: none.';
