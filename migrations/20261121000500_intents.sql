-- Calls that message a person are written down before they are made.

create table intent (
  platform_id integer     not null,
  purpose     text        not null,
  appid       text        collate "C" not null,
  counterpart text        collate "C" not null default '',
  number      integer     not null,
  made_at     timestamptz not null,
  deadline_at timestamptz not null,
  outcome     text        not null default 'unknown',
  settled_at  timestamptz,
  errcode     bigint,
  process_id  uuid        not null,
  primary key (platform_id, appid, purpose, counterpart, number),
  constraint purpose_is_known_word check (purpose in ('ask', 'invite')),
  constraint intent_outcome_is_known_word check (outcome in ('made', 'not_made', 'unknown')),
  constraint numbers_count_from_one check (number >= 1)
);
comment on table intent is 'The row written before a call that messages a person. A lost answer counts as made.';
comment on column intent.number is 'Counts the intents of one purpose and subject.';
comment on column intent.deadline_at is 'The call had ended by then, one way or the other.';
comment on column intent.outcome is 'unknown until the answer is recorded, and for ever when it is lost.';
create index intent_unknown on intent (platform_id, made_at) where outcome = 'unknown';

create table message_day (
  platform_id integer not null,
  purpose     text    not null,
  day         date    not null,
  used        integer not null default 0,
  primary key (platform_id, purpose, day)
);
comment on table message_day is 'How many messages were taken from a day''s cap, by the day of platform time.';

create table cluster_identity (
  only_row          boolean     primary key default true,
  system_identifier text        not null,
  timeline          integer     not null,
  seen_at           timestamptz not null,
  constraint there_is_one_identity check (only_row)
);
comment on table cluster_identity is 'Which Postgres this is: after a restore or a fail-over messages wait for an operator.';
