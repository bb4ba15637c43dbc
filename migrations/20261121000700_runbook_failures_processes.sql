-- The runbook, failed calls, live processes.

create table errcode (
  errcode    bigint not null,
  endpoint   text   not null default '',
  class      text   not null,
  meaning_zh text   not null,
  meaning_en text   not null,
  todo_zh    text   not null,
  todo_en    text   not null,
  actor      text   not null,
  primary key (errcode, endpoint)
);
comment on table errcode is 'The runbook: written by the program at start from its own table, never by hand.';
comment on column errcode.endpoint is 'Empty: on every endpoint that has no row of its own.';

create table failure (
  platform_id integer     not null,
  appid       text        collate "C" not null,
  failure_id  bigint      generated always as identity,
  failed_at   timestamptz not null,
  check_name  text        not null,
  counterpart text        not null default '',
  endpoint    text        not null,
  class       text        not null,
  errcode     bigint,
  rid         text,
  latency_ms  integer,
  detail      text,
  run_id      uuid,
  primary key (platform_id, appid, failure_id)
);
comment on table failure is 'Failed calls of the last days; WeChat answers about a rid for seven days.';
create index failure_by_time on failure (failed_at);

create table process (
  process_id    uuid        primary key,
  started_at    timestamptz not null,
  beat_at       timestamptz not null,
  version       text        not null,
  purpose       text        not null,
  last_claim_at timestamptz,
  clock_skew_ms bigint
);
comment on table process is 'Processes that beat. One that has not beaten for a lease is dead.';
