-- What the checks found: phones, callback history, links and their moves.
-- None of these tables refers to merchant by a foreign key: a row is written only with the record of an item or for a
-- wish, whose own foreign keys hold, and no merchant is ever deleted. A key here would cost a look-up and a lock
-- written to the merchant's row for every first reading.

create table phone (
  platform_id  integer     not null,
  appid        text        collate "C" not null,
  state        text        not null,
  since        timestamptz not null,
  read_at      timestamptz not null,
  bound_at     timestamptz,
  asks_granted integer     not null default 0,
  primary key (platform_id, appid),
  constraint phone_state_is_known_word check (state in ('bound', 'missing'))
) with (fillfactor = 80);
comment on table phone is 'Whether the mini program has a phone bound, as last read. No row: not read yet.';
comment on column phone.since is 'When this state was first read.';
comment on column phone.bound_at is 'When a bound phone was last seen: asks before that no longer count towards the maximum.';
comment on column phone.asks_granted is 'Asks that operators granted above the maximum.';
create index phone_missing on phone (platform_id, since) where state = 'missing';

create table callback_snapshot (
  platform_id integer     not null,
  appid       text        collate "C" not null,
  valid_from  timestamptz not null,
  valid_to    timestamptz,
  state       text        not null,
  digest      bytea       not null,
  config      jsonb,
  primary key (platform_id, appid, valid_from),
  constraint callback_state_is_known_word check (state in ('configured', 'absent', 'not_applicable')),
  constraint a_configured_callback_has_its_config check ((state = 'configured') = (config is not null)),
  constraint an_interval_ends_after_it_begins check (valid_to is null or valid_to >= valid_from)
);
comment on table callback_snapshot is 'Validity intervals of the message-push configuration: a row for as long as nothing changed.';
comment on column callback_snapshot.valid_from is 'The reading that first showed it.';
comment on column callback_snapshot.valid_to is 'The reading that first showed something else; null: current.';
comment on column callback_snapshot.digest is 'SHA-256 of the canonical form.';
create unique index callback_current on callback_snapshot (platform_id, appid) where valid_to is null;
comment on index callback_current is 'One current interval for each merchant.';

create table callback_change (
  platform_id integer     not null,
  appid       text        collate "C" not null,
  changed_at  timestamptz not null,
  field       text        not null,
  old_value   text,
  new_value   text,
  primary key (platform_id, appid, changed_at, field)
);
comment on table callback_change is 'One row for each changed field of the message-push configuration.';
comment on column callback_change.changed_at is 'The reading that first showed the new value.';
comment on column callback_change.old_value is 'As JSON; null: the field was not there.';
create index callback_change_by_time on callback_change (changed_at);

create table link (
  platform_id      integer     not null,
  official_account text        collate "C" not null,
  mini_program     text        collate "C" not null,
  state            text        not null,
  since            timestamptz not null,
  invited_at       timestamptz,
  invite_confirmed boolean     not null default false,
  absent_readings  smallint    not null default 0,
  read_at          timestamptz,
  errcode          bigint,
  reason           text,
  deferred_until   timestamptz,
  primary key (platform_id, official_account, mini_program),
  constraint link_state_is_known_word check (state in ('wanted', 'invited', 'waiting_official_account', 'waiting_mini_program', 'linked',
                                            'refused', 'vanished', 'stale', 'blocked', 'deferred', 'unlinked')),
  constraint deferred_iff_until check ((state = 'deferred') = (deferred_until is not null)),
  constraint blocked_has_its_reason check (state <> 'blocked' or reason is not null)
);
comment on table link is 'The state of each pair of official account and mini program that was ever wanted.';
comment on column link.since is 'When this state began.';
comment on column link.invited_at is 'When the newest invitation was sent (or may have been).';
comment on column link.invite_confirmed is 'A reading or an answer showed that the newest invitation arrived.';
comment on column link.absent_readings is 'Complete readings in a row, begun after the invitation, that did not show the pair.';

create table link_transition (
  platform_id      integer     not null,
  official_account text        collate "C" not null,
  mini_program     text        collate "C" not null,
  transition_id    bigint      generated always as identity,
  moved_at         timestamptz not null,
  from_state       text,
  to_state         text        not null,
  cause            text        not null,
  run_id           uuid,
  primary key (platform_id, official_account, mini_program, transition_id)
);
comment on table link_transition is 'Every move of a link with its cause.';
