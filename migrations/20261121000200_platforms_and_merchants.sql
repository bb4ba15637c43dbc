-- Who: platforms, merchants, their sealed credentials, and what operators want and hold.

create table platform (
  platform_id     integer     primary key generated always as identity,
  component_appid text        collate "C" not null unique,
  ticket_sealed   bytea,
  ticket_at       timestamptz,
  halted_at       timestamptz,
  halt_errcode    bigint,
  halt_reason     text,
  probe_at        timestamptz,
  probes          integer     not null default 0,
  created_at      timestamptz not null default now(),
  constraint a_ticket_has_its_time    check ((ticket_sealed is null) = (ticket_at is null)),
  constraint a_halt_has_its_reason    check ((halted_at is null) = (halt_reason is null)),
  constraint a_halt_has_its_probe     check ((halted_at is null) = (probe_at is null))
);
comment on table platform is 'One third-party platform (component): its newest verify ticket and its breaker.';
comment on column platform.ticket_sealed is 'The component_verify_ticket, sealed.';
comment on column platform.halted_at is 'When the breaker opened: a fault of the whole platform.';
comment on column platform.probe_at is 'When one merchant may be tried again while the breaker is open.';
comment on column platform.probes is 'Tries since the breaker opened: the wait doubles with each.';

create function only_platform() returns integer
  language sql stable
  as 'select platform_id from wxpatrol_data.platform order by platform_id limit 1';
comment on function only_platform() is 'The platform that rows written by hand belong to when they do not name one.';

create table merchant (
  platform_id     integer     not null references platform,
  appid           text        collate "C" not null,
  kind            text        not null default 'unknown',
  nickname        text,
  principal       text,
  permission_sets integer[],
  account_status  integer,
  authorized_at   timestamptz,
  known_at        timestamptz not null default clock(),
  listed_at       timestamptz,
  absent_passes   smallint    not null default 0,
  info_at         timestamptz,
  info_tried_at   timestamptz,
  withdrawn_at    timestamptz,
  plan_stale      boolean     not null default true,
  primary key (platform_id, appid),
  constraint kind_is_known_word check (kind in ('unknown', 'mini_program', 'official_account', 'other')),
  constraint appid_is_not_empty check (appid <> '')
);
comment on table merchant is 'One merchant that authorized the platform, withdrawn ones included.';
comment on column merchant.permission_sets is 'Granted permission sets; null while unknown, and then the check is tried.';
comment on column merchant.account_status is 'WeChat''s account_status: 1 normal, 14 cancelled, 16 banned, 18 warned, 19 frozen; null while unknown.';
comment on column merchant.absent_passes is 'Complete passes over the authorizer list in a row that did not name the merchant; two make it withdrawn.';
comment on column merchant.info_tried_at is 'When WeChat was last asked in vain about the merchant; a run asks again after an hour.';
comment on column merchant.plan_stale is 'Something changed that planning must look at.';
create index merchant_to_plan on merchant (platform_id, appid) where plan_stale;
create index merchant_without_info on merchant (platform_id, appid) where info_at is null and withdrawn_at is null;
comment on index merchant_to_plan is 'Serves plan.sql.';
comment on index merchant_without_info is 'Serves merchants_without_info.sql.';

create table credential (
  platform_id       integer     not null references platform,
  appid             text        collate "C" not null,
  access_sealed     bytea,
  access_expires_at timestamptz,
  refresh_sealed    bytea,
  version           bigint      not null default 0,
  fence             bigint      not null default 0,
  leased_until      timestamptz,
  failures          integer     not null default 0,
  cool_until        timestamptz,
  failure_reason    text,
  lost_reason       text,
  primary key (platform_id, appid),
  constraint an_access_token_has_its_expiry check ((access_sealed is null) = (access_expires_at is null)),
  constraint a_cool_down_has_its_reason     check (cool_until is null or failure_reason is not null)
) with (fillfactor = 70);
comment on table credential is 'Sealed tokens and the lease of their one refresher. The empty appid is the platform''s own component token.';
comment on column credential.version is 'Grows with each stored access token: tells the token that was used from the one that is stored.';
comment on column credential.fence is 'Grows with each refresh lease: a late refresher stores nothing.';
comment on column credential.leased_until is 'While in the future, one process is refreshing.';
comment on column credential.lost_reason is 'Set when the refresh token is missing or was refused for good; a person must act.';

create table sealing_key (
  only_row boolean primary key default true,
  canary   bytea   not null,
  constraint there_is_one_canary check (only_row)
);
comment on table sealing_key is 'A known text sealed with the key in use, so that a wrong key is found at start.';

create table wish (
  platform_id      integer     not null default only_platform(),
  official_account text        collate "C" not null,
  mini_program     text        collate "C" not null,
  notify_users     boolean     not null default false,
  show_profile     boolean     not null default false,
  wanted_at        timestamptz not null default clock(),
  created_by       text        not null default current_user,
  plan_stale       boolean     not null default true,
  word_given       boolean     not null default true,
  primary key (platform_id, official_account, mini_program),
  constraint official_account_is_a_known_merchant foreign key (platform_id, official_account) references merchant (platform_id, appid),
  constraint mini_program_is_a_known_merchant foreign key (platform_id, mini_program) references merchant (platform_id, appid),
  constraint a_wish_names_two_accounts check (official_account <> mini_program)
);
comment on table wish is 'Pairs that operators want linked. Written by `wxpatrol want` or with a plain insert ... select.';
comment on column wish.notify_users is 'true tells all followers of the official account about the link. Leave it false.';
comment on column wish.word_given is 'An operator wants the pair (again), and planning has not acted on it yet.';
create index wish_to_plan on wish (platform_id, official_account) where plan_stale;
create index wish_by_mini_program on wish (platform_id, mini_program);
comment on index wish_to_plan is 'Serves plan_wishes.sql.';
comment on index wish_by_mini_program is 'Serves the foreign key and look-ups by mini program.';

create table hold (
  hold_id     bigint      primary key generated always as identity,
  platform_id integer     not null default only_platform(),
  appid       text        collate "C",
  check_name  text,
  endpoint    text,
  reason      text        not null default '',
  created_by  text        not null default current_user,
  created_at  timestamptz not null default clock(),
  until       timestamptz,
  constraint a_hold_names_something check (appid is not null or check_name is not null or endpoint is not null),
  constraint an_endpoint_is_held_for_all check (endpoint is null or (appid is null and check_name is null))
);
comment on table hold is 'Pauses: of a merchant, a check, a check of a merchant, or an endpoint. Deleting the row resumes.';
comment on column hold.until is 'The hold ends by itself then; null: only by an operator''s word.';
create index hold_by_merchant on hold (platform_id, appid) where appid is not null;
