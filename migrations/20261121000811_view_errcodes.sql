-- The runbook.

create view wxpatrol.errcodes as
select e.errcode,
       e.endpoint,
       e.class,
       e.actor,
       e.meaning_zh,
       e.meaning_en,
       e.remedy_zh,
       e.remedy_en
  from wxpatrol_data.errcode e
 order by e.errcode, e.endpoint;
comment on view wxpatrol.errcodes is 'The runbook: every errcode of WeChat that wxpatrol knows, what it means, who acts and how.';
comment on column wxpatrol.errcodes.errcode is 'WeChat''s code.';
comment on column wxpatrol.errcodes.endpoint is 'The endpoint on which the row holds; empty: wherever no row names the endpoint.';
comment on column wxpatrol.errcodes.class is 'What happens next: ok, transient, token, permission, withdrawn, quota_minute, quota_day, quota_month, pending, already, human, not_applicable, bug or halt.';
comment on column wxpatrol.errcodes.actor is 'Who can end it: nobody, provider_engineer, operator, merchant_admin, official_account_admin or wechat.';
comment on column wxpatrol.errcodes.meaning_zh is 'What it means, in Chinese.';
comment on column wxpatrol.errcodes.meaning_en is 'What it means, in English.';
comment on column wxpatrol.errcodes.remedy_zh is 'What to do, in Chinese.';
comment on column wxpatrol.errcodes.remedy_en is 'What to do, in English.';
