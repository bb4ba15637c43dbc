-- Several platforms in one installation: what each brings along. A null stands for "as the environment says", so an older
-- program goes on with the platform of its environment. Half applied: nothing reads the columns yet, apply again.

alter table platform
  add column nickname           text,
  add column enabled            boolean     not null default true,
  add column secret_sealed      bytea,
  add column event_token_sealed bytea,
  add column event_key_sealed   bytea,
  add column schedules          text[],
  add column named_at           timestamptz,
  add constraint a_nickname_is_not_empty check (nickname <> ''),
  add constraint schedules_are_words     check (array_position(schedules, null) is null and array_position(schedules, '') is null);
comment on table platform is 'One third-party platform (component): its sealed credentials, its newest verify ticket, its settings and its breaker.';
comment on column platform.nickname is 'What people call it; null: its appid.';
comment on column platform.enabled is 'Whether it is patrolled at all. false keeps everything and calls nobody.';
comment on column platform.secret_sealed is 'Its AppSecret, sealed; null: only a process whose environment names the platform can act for it.';
comment on column platform.event_token_sealed is 'The token that signs what WeChat posts to the authorization event URL, sealed; null: not known.';
comment on column platform.event_key_sealed is 'The EncodingAESKey of the authorization event URL, sealed; null: not known.';
comment on column platform.schedules is 'The schedules (checks, and sync) that are on for it; null: all of them.';
comment on column platform.named_at is 'When a process last named it in its environment; null: never.';

create table platform_limit (
  platform_id  integer not null references platform on delete cascade,
  endpoint     text    collate "C" not null,
  per_merchant boolean not null default false,
  limit_text   text    not null,
  primary key (platform_id, endpoint, per_merchant),
  constraint limit_text_is_a_limit check (limit_text ~ '^(unlimited|[1-9][0-9]{0,9}/(s|min|day)( burst [1-9][0-9]{0,9})?)$')
);
comment on table platform_limit is 'Limits that hold for one platform in the place of the environment''s. No row: WXPATROL_LIMIT_... holds.';
comment on column platform_limit.platform_id is 'The platform.';
comment on column platform_limit.endpoint is 'The WeChat address.';
comment on column platform_limit.per_merchant is 'Whether it is the limit of each merchant; otherwise that of the platform as a whole.';
comment on column platform_limit.limit_text is 'The limit as WXPATROL_LIMIT_... is written: 200/s, 300/min, 10000/day, 200/s burst 20, unlimited.';

-- A row written by hand went to the oldest platform in silence. With several it must say which one it means.
create or replace function only_platform() returns integer
  language plpgsql stable
  as $$
declare
  ids integer[] := array(select p.platform_id from wxpatrol_data.platform p where p.enabled order by p.platform_id limit 2);
begin
  if cardinality(ids) > 1 then
    raise exception 'several platforms are enabled: name platform_id'
      using errcode = 'not_null_violation',
            hint = 'select platform_id, component_appid from wxpatrol_data.platform';
  end if;
  return ids[1];
end
$$;
comment on function only_platform() is 'The platform that rows written by hand belong to when they do not name one: the only one that is enabled. With several it raises an error.';
