-- What WeChat pushes to the event URL: when a platform's ticket was made, the order of each merchant's events, the events
-- that wait for work, and the pushes that were taken, against replays.
-- Only adds: older binaries go on beside it. Half applied: apply again.

alter table platform add column ticket_created_at timestamptz;
comment on column platform.ticket_at is 'When the ticket was made, as far as that is known, or stored; null: there is none.';
comment on column platform.ticket_created_at is 'WeChat''s CreateTime of the ticket, or when an operator or a file brought it: an older one changes nothing. Null: not known, and every push is newer.';

alter table platform add column push_asked_at timestamptz;
comment on column platform.push_asked_at is 'When WeChat was last asked to push tickets (api_start_push_ticket): at most once an hour over all processes. Null: never.';

alter table merchant add column event_at timestamptz;
comment on column merchant.event_at is 'WeChat''s CreateTime of the newest event about its authorization: an older one changes nothing. Null: no event came.';

create table authorization_event (
  event_id        bigint      primary key generated always as identity,
  platform_id     integer     not null references platform,
  appid           text        collate "C" not null,
  info_type       text        not null,
  event_at        timestamptz not null,
  received_at     timestamptz not null default clock(),
  state           text        not null,
  reason          text,
  code_sealed     bytea,
  code_expires_at timestamptz,
  due_at          timestamptz,
  fence           bigint      not null default 0,
  attempts        integer     not null default 0,
  settled_at      timestamptz,
  constraint an_event_is_known_once               unique (platform_id, appid, event_at, info_type),
  constraint info_type_is_known_word              check (info_type in ('authorized', 'updateauthorized', 'unauthorized')),
  constraint state_is_known_word                  check (state in ('pending', 'done', 'overtaken', 'failed')),
  constraint a_pending_event_is_due               check ((state = 'pending') = (due_at is not null)),
  constraint a_settled_event_has_its_end          check ((state = 'pending') = (settled_at is null)),
  constraint only_a_pending_event_keeps_its_code  check (code_sealed is null or state = 'pending'),
  constraint a_failed_event_has_its_reason        check (state <> 'failed' or reason is not null)
) with (fillfactor = 80);
comment on table authorization_event is 'Authorizations that came and went, as WeChat told them. A pending one waits for its code to be exchanged and for the merchant''s info.';
comment on column authorization_event.event_id is 'Tells events apart.';
comment on column authorization_event.platform_id is 'The platform.';
comment on column authorization_event.appid is 'The merchant.';
comment on column authorization_event.info_type is 'WeChat''s name: authorized, updateauthorized or unauthorized.';
comment on column authorization_event.event_at is 'WeChat''s CreateTime.';
comment on column authorization_event.received_at is 'When it was taken.';
comment on column authorization_event.state is 'pending; done; overtaken by a newer event about the merchant; failed: the next sync sees to what is missing.';
comment on column authorization_event.reason is 'What went wrong last, in words; null: nothing.';
comment on column authorization_event.code_sealed is 'The authorization code, sealed; erased with its first use. Null: used, dead, or there was none.';
comment on column authorization_event.code_expires_at is 'When the code dies; null: there is none.';
comment on column authorization_event.due_at is 'When it may be worked on (again): a lease is a due time in the future. Null: nothing is left to do.';
comment on column authorization_event.fence is 'Grows with each claim: a late worker settles nothing.';
comment on column authorization_event.attempts is 'Claims so far.';
comment on column authorization_event.settled_at is 'When it was settled; null: it is pending.';
create index authorization_event_due on authorization_event (platform_id, due_at) where state = 'pending';
comment on index authorization_event_due is 'Serves events_claim.sql.';
create index authorization_event_settled on authorization_event (settled_at) where state <> 'pending';
comment on index authorization_event_settled is 'Serves retire_events.sql.';
create index authorization_event_failed on authorization_event (platform_id, appid) where state = 'failed';
comment on index authorization_event_failed is 'Serves the view attention.';

create table taken_push (
  platform_id   integer     not null references platform,
  msg_signature text        collate "C" not null,
  taken_at      timestamptz not null default clock(),
  primary key (platform_id, msg_signature)
);
comment on table taken_push is 'Signatures of the pushes that were taken in the last hour: each is taken once.';
comment on column taken_push.platform_id is 'The platform.';
comment on column taken_push.msg_signature is 'What tells the push from every other: a digest over its time, its nonce and its content.';
comment on column taken_push.taken_at is 'When it was taken.';
create index taken_push_by_time on taken_push (taken_at);
comment on index taken_push_by_time is 'Serves retire_pushes.sql.';
