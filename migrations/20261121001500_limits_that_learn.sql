-- Limits that learn: what every process is set to, what WeChat said, what a limit in shadow would have held back, and
-- merchants whose own quota is used up. Only tables and columns are added, so an older binary goes on beside it: it takes
-- slices by its own setting, and a slowed pace is half the rate for it until slow_until.
-- Half applied: nothing uses any of it yet, apply again.

alter table pace add column used_on date;
alter table pace add column used bigint not null default 0;
comment on column pace.used_on is 'The day of platform time that used counts.';
comment on column pace.used is 'Slots handed out on that day, over all processes. Lost with the row after a crash of Postgres.';

alter table day_count add column held_back bigint not null default 0;
comment on column day_count.held_back is 'Calls of the day that a limit in shadow would have held back; they were made all the same.';

comment on column closure.slow_until is 'Until then the endpoint runs below its pace; by ten minutes before, one step slower (see slow_steps).';

create function slow_steps(closed_until timestamptz, slow_until timestamptz, moment timestamptz) returns integer
  language sql immutable parallel safe
  as $$
    select least(4, greatest(0,
             ceil(extract(epoch from slow_until - greatest(closed_until, moment)) / 600)))::integer
  $$;
comment on function slow_steps(timestamptz, timestamptz, timestamptz) is 'How many steps an endpoint is slowed down, 0 to 4; one step is taken back every ten minutes after it opened.';

create function slow_share(steps integer) returns double precision
  language sql immutable parallel safe
  as $$
    select case steps when 0 then 1 when 1 then 0.75 when 2 then 0.5 when 3 then 0.25 else 0.125 end::double precision
  $$;
comment on function slow_share(integer) is 'The share of the pace at so many steps: 1, 3/4, 1/2, 1/4, 1/8.';

create table limit_setting (
  platform_id            integer          not null,
  endpoint               text             collate "C" not null,
  process_id             uuid             not null,
  setting                text             not null,
  interval_secs          double precision not null,
  per_day                bigint,
  shadow                 boolean          not null,
  merchant_setting       text,
  merchant_interval_secs double precision not null,
  told_at                timestamptz      not null,
  primary key (platform_id, endpoint, process_id)
);
comment on table limit_setting is 'The limits that each process is set to. While processes differ, the strictest of the living holds for all.';
comment on column limit_setting.setting is 'As it is written in the variable.';
comment on column limit_setting.interval_secs is 'Seconds from call to call at an even pace; 0: no rate.';
comment on column limit_setting.per_day is 'Calls a day; null: days are not counted.';
comment on column limit_setting.shadow is 'Only counted, nothing is held back.';
comment on column limit_setting.merchant_setting is 'The limit of one merchant; null: the endpoint has none.';
comment on column limit_setting.merchant_interval_secs is 'Seconds from call to call of one merchant; 0: no limit.';

alter table quota add column answered_at timestamptz;
alter table quota add column errcode bigint;
comment on column quota.asked_at is 'When a process set out to ask; at most once on a day of platform time.';
comment on column quota.answered_at is 'When WeChat gave the figures beside it; null: never.';
comment on column quota.errcode is 'The code that the last question was refused with; null: it was answered, or its answer was lost.';
create index quota_by_endpoint on quota (platform_id, endpoint, asked_at);
comment on index quota_by_endpoint is 'Serves limits_learn.sql and the view limits.';

create table quota_turn (
  platform_id integer not null,
  endpoint    text    collate "C" not null,
  day         date    not null,
  asked       integer not null,
  primary key (platform_id, endpoint, day)
);
comment on table quota_turn is 'How many merchants'' quotas were asked about, by endpoint and day of platform time: the questions have a limit of their own.';

create table learned (
  platform_id            integer          not null,
  endpoint               text             collate "C" not null,
  interval_secs          double precision,
  merchant_interval_secs double precision,
  merchants              integer          not null,
  learned_at             timestamptz      not null,
  primary key (platform_id, endpoint)
);
comment on table learned is 'What the newest answers about quotas agree on. It tightens a limit and never loosens one.';
comment on column learned.interval_secs is 'Seconds from call to call of the platform, by component_rate_limit; null: unknown.';
comment on column learned.merchant_interval_secs is 'Seconds from call to call of one merchant, by the stricter of rate_limit and component_rate_limit; null: unknown.';
comment on column learned.merchants is 'Merchants whose answers of the last two days this is from.';

create table merchant_closure (
  platform_id  integer     not null,
  appid        text        collate "C" not null,
  endpoint     text        collate "C" not null,
  closed_until timestamptz not null,
  since        timestamptz not null,
  class        text        not null,
  errcode      bigint,
  primary key (platform_id, appid, endpoint)
);
comment on table merchant_closure is 'Endpoints of one merchant that WeChat told us to leave alone. Kept by free_at of the merchant''s items; this says why.';
comment on column merchant_closure.class is 'quota_minute, quota_day or quota_month.';
create index merchant_closure_by_end on merchant_closure (platform_id, endpoint, closed_until);
comment on index merchant_closure_by_end is 'Serves the view limits, and deleting what is over.';

comment on column limit_setting.platform_id is 'The platform.';
comment on column limit_setting.endpoint is 'The WeChat address by its short name.';
comment on column limit_setting.process_id is 'The process that is set so.';
comment on column limit_setting.told_at is 'When it last said so.';
comment on column quota_turn.platform_id is 'The platform.';
comment on column quota_turn.endpoint is 'The endpoint asked about.';
comment on column quota_turn.day is 'The day of platform time.';
comment on column quota_turn.asked is 'Questions taken on that day.';
comment on column learned.platform_id is 'The platform.';
comment on column learned.endpoint is 'The WeChat address by its short name.';
comment on column learned.learned_at is 'When the answers were last looked through.';
comment on column merchant_closure.platform_id is 'The platform.';
comment on column merchant_closure.appid is 'The merchant.';
comment on column merchant_closure.endpoint is 'The WeChat address by its short name.';
comment on column merchant_closure.closed_until is 'Nothing is called there for this merchant before then.';
comment on column merchant_closure.since is 'When WeChat said so first.';
comment on column merchant_closure.errcode is 'WeChat''s code; null: an answer about the quota said that the day is used up.';
