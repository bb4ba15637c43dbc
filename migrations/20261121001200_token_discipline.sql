-- What the refresh of tokens must remember: which refresh token an answer is about, whether somebody else refreshes a
-- merchant, whose refusals of the platform's token say nothing, and that one process reads lost refresh tokens back.
-- Columns with constant defaults: no table is rewritten. Half applied: nothing reads them yet, apply again.

alter table credential
  add column refresh_version     bigint      not null default 0,
  add column refresh_at          timestamptz,
  add column refused_at          timestamptz,
  add column lost_at             timestamptz,
  add column failure_errcode     bigint,
  add column contested_version   bigint,
  add column contested_since     timestamptz,
  add column contested_at        timestamptz,
  add column contested_count     integer     not null default 0,
  add constraint a_contest_has_its_times check ((contested_count = 0) = (contested_since is null)
                                            and (contested_count = 0) = (contested_at is null));
comment on column credential.refresh_version is 'Grows with each stored refresh token: an answer about an older one is told from one about this.';
comment on column credential.refresh_at is 'When the stored refresh token was learnt; null: before this was written down.';
comment on column credential.refused_at is 'When a refusal by WeChat, and not the end of its life, last had the token bought anew.';
comment on column credential.lost_at is 'When lost_reason was set; of no meaning without it. Null: before this was written down.';
comment on column credential.failure_errcode is 'WeChat''s code for the last failed refresh; null: it was no refusal, or the last one succeeded.';
comment on column credential.contested_version is 'The newest token that was refused long before its end although nobody here had refreshed it.';
comment on column credential.contested_since is 'When that was first seen, in the present row of such refusals.';
comment on column credential.contested_at is 'When that was last seen: another system refreshes this merchant''s token.';
comment on column credential.contested_count is 'How often that was seen since contested_since; a row ends after 30 days without.';
create index credential_contested on credential (platform_id, contested_at) where contested_at is not null;
comment on index credential_contested is 'Serves the view attention.';

create table component_refusal (
  platform_id integer     not null references platform,
  appid       text        collate "C" not null,
  refused_at  timestamptz not null,
  primary key (platform_id, appid)
);
comment on table component_refusal is 'Merchants whose calls refused two of the platform''s own tokens in a row. While they are few, their refusals have no token bought.';
comment on column component_refusal.platform_id is 'The platform.';
comment on column component_refusal.appid is 'The merchant that the calls were about.';
comment on column component_refusal.refused_at is 'When the second token was refused, last time.';

create table recovery (
  platform_id  integer     primary key references platform,
  began_at     timestamptz not null,
  leased_until timestamptz,
  constraint a_recovery_ends_after_it_began check (leased_until is null or leased_until >= began_at)
);
comment on table recovery is 'The newest reading of the authorizer list for lost refresh tokens: one for all processes and all merchants that lost theirs.';
comment on column recovery.platform_id is 'The platform.';
comment on column recovery.began_at is 'When it began.';
comment on column recovery.leased_until is 'While in the future, a process is reading; null: it has ended.';
