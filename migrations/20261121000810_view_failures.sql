-- Failed calls with what the runbook says about them.

create view wxpatrol.failures as
select p.component_appid as platform,
       f.failed_at,
       f.check_name,
       f.appid,
       m.nickname,
       f.counterpart,
       f.endpoint,
       f.class,
       f.errcode,
       f.rid,
       f.latency_ms,
       f.detail,
       coalesce(e.meaning_zh, g.meaning_zh) as meaning_zh,
       coalesce(e.meaning_en, g.meaning_en) as meaning_en,
       coalesce(e.actor, g.actor) as actor,
       f.run_id
  from wxpatrol_data.failure f
  join wxpatrol_data.platform p on p.platform_id = f.platform_id
  left join wxpatrol_data.merchant m on m.platform_id = f.platform_id and m.appid = f.appid
  left join wxpatrol_data.errcode e on e.errcode = f.errcode and e.endpoint = f.endpoint
  left join wxpatrol_data.errcode g on g.errcode = f.errcode and g.endpoint = ''
 order by f.failed_at desc, f.failure_id desc;
comment on view wxpatrol.failures is 'Failed calls of the last days, newest first; WeChat answers about a rid for seven days.';
comment on column wxpatrol.failures.platform is 'The component''s appid.';
comment on column wxpatrol.failures.failed_at is 'When the failure was recorded.';
comment on column wxpatrol.failures.check_name is 'The check.';
comment on column wxpatrol.failures.appid is 'The merchant whose token was used.';
comment on column wxpatrol.failures.nickname is 'Its name; null: not known.';
comment on column wxpatrol.failures.counterpart is 'The other side of a pair; empty for checks of one merchant.';
comment on column wxpatrol.failures.endpoint is 'The endpoint of the check.';
comment on column wxpatrol.failures.class is 'What the answer meant: transient, token, permission, ...';
comment on column wxpatrol.failures.errcode is 'WeChat''s code; null: there was no readable answer.';
comment on column wxpatrol.failures.rid is 'WeChat''s request id; null: none was given.';
comment on column wxpatrol.failures.latency_ms is 'Milliseconds from the call to its answer; null: not measured.';
comment on column wxpatrol.failures.detail is 'What went wrong, in words; null: the code says it.';
comment on column wxpatrol.failures.meaning_zh is 'What the code means, in Chinese; null: the code is not in the runbook.';
comment on column wxpatrol.failures.meaning_en is 'What the code means, in English; null: the code is not in the runbook.';
comment on column wxpatrol.failures.actor is 'Who can end it; null: the code is not in the runbook.';
comment on column wxpatrol.failures.run_id is 'The run; null: outside a run.';
