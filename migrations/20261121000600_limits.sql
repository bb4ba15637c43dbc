-- Limits that all processes share.

create unlogged table pace (
  platform_id integer     not null,
  endpoint    text        collate "C" not null,
  tat         timestamptz not null,
  primary key (platform_id, endpoint)
) with (fillfactor = 50);
comment on table pace is 'The GCRA row of each platform and endpoint: the theoretical arrival time of the next call. Unlogged: after a crash it starts a second late, never with a burst.';

create table closure (
  platform_id  integer     not null,
  endpoint     text        collate "C" not null,
  closed_until timestamptz not null,
  slow_until   timestamptz not null,
  since        timestamptz not null,
  errcode      bigint,
  reason       text        not null,
  primary key (platform_id, endpoint)
);
comment on table closure is 'Endpoints that WeChat told us to leave alone, for every process.';
comment on column closure.slow_until is 'Until then the endpoint runs at half its pace.';

create table day_count (
  platform_id integer not null,
  endpoint    text    collate "C" not null,
  day         date    not null,
  used        bigint  not null default 0,
  primary key (platform_id, endpoint, day)
);
comment on table day_count is 'Calls taken from a limit a day, by the day of platform time.';

create table quota (
  platform_id        integer     not null,
  appid              text        collate "C" not null,
  endpoint           text        collate "C" not null,
  asked_at           timestamptz not null,
  daily_limit        bigint,
  used               bigint,
  rate_count         bigint,
  rate_seconds       bigint,
  platform_count     bigint,
  platform_seconds   bigint,
  primary key (platform_id, appid, endpoint)
);
comment on table quota is 'What WeChat said about the limits of an endpoint when it was last asked.';
