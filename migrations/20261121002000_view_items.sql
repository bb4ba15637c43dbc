-- What there is to do, item by item, with what the runbook says about the last outcome. Half applied: there is no such view.

create view wxpatrol.items as
select p.component_appid as platform,
       i.appid,
       m.nickname,
       i.check_name,
       i.counterpart,
       case when i.due_at < 'infinity' then i.due_at end as due_at,
       coalesce(i.leased_until > (select t.now from wxpatrol_data.moment t), false) as leased,
       i.held,
       i.attempts,
       i.outcome,
       i.reason,
       i.class,
       i.errcode,
       i.rid,
       i.recorded_at,
       i.done_at,
       coalesce(e.meaning_zh, g.meaning_zh) as meaning_zh,
       coalesce(e.meaning_en, g.meaning_en) as meaning_en,
       coalesce(e.remedy_zh, g.remedy_zh) as what_zh,
       coalesce(e.remedy_en, g.remedy_en) as what_en,
       coalesce(e.actor, g.actor) as actor,
       i.run_id
  from wxpatrol_data.item i
  join wxpatrol_data.platform p on p.platform_id = i.platform_id
  left join wxpatrol_data.merchant m on m.platform_id = i.platform_id and m.appid = i.appid
  left join wxpatrol_data.errcode e on e.errcode = i.errcode and e.endpoint = wxpatrol_data.check_endpoint(i.check_name)
  left join wxpatrol_data.errcode g on g.errcode = i.errcode and g.endpoint = ''
 order by p.component_appid, i.appid, i.check_name, i.counterpart;
comment on view wxpatrol.items is 'Each check of each merchant: when it is due, how it last ended, and what the runbook says about that.';
comment on column wxpatrol.items.platform is 'The component''s appid.';
comment on column wxpatrol.items.appid is 'The merchant; of an invitation the official account.';
comment on column wxpatrol.items.nickname is 'Its name; null: not known.';
comment on column wxpatrol.items.check_name is 'The check.';
comment on column wxpatrol.items.counterpart is 'The mini program of an invitation; empty otherwise.';
comment on column wxpatrol.items.due_at is 'When it may be claimed; null: it sleeps until something changes.';
comment on column wxpatrol.items.leased is 'Whether a process is at it.';
comment on column wxpatrol.items.held is 'Whether a hold of the merchant covers it.';
comment on column wxpatrol.items.attempts is 'Failed tries of the present work.';
comment on column wxpatrol.items.outcome is 'done, again, deferred, skipped or failed; null: none yet.';
comment on column wxpatrol.items.reason is 'Why; null: it is done, or has no outcome yet.';
comment on column wxpatrol.items.class is 'What the answer meant: ok, transient, permission, ...; null: no call was made.';
comment on column wxpatrol.items.errcode is 'WeChat''s code; null: none.';
comment on column wxpatrol.items.rid is 'WeChat''s request id; null: none was given.';
comment on column wxpatrol.items.recorded_at is 'When the outcome was recorded; null: none yet.';
comment on column wxpatrol.items.done_at is 'When the check last ended well; null: never.';
comment on column wxpatrol.items.meaning_zh is 'What the code means, in Chinese; null: no code, or none of the runbook.';
comment on column wxpatrol.items.meaning_en is 'What the code means, in English; null: no code, or none of the runbook.';
comment on column wxpatrol.items.what_zh is 'What to do about it, in Chinese; null: no code, or none of the runbook.';
comment on column wxpatrol.items.what_en is 'What to do about it, in English; null: no code, or none of the runbook.';
comment on column wxpatrol.items.actor is 'Who can end it; null: no code, or none of the runbook.';
comment on column wxpatrol.items.run_id is 'The run of the outcome; null: none.';
