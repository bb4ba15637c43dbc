-- What was said about holds is kept: who paused and resumed what, when and why. Written by a trigger, so that plain SQL on
-- hold is kept as well; append-only.

create table hold_event (
  hold_event_id bigint      primary key generated always as identity,
  platform_id   integer     not null,
  at            timestamptz not null default clock(),
  event         text        not null,
  appid         text        collate "C",
  check_name    text,
  endpoint      text,
  schedule      text,
  until         timestamptz,
  note          text        not null,
  said_by       text        not null,
  constraint event_is_known_word check (event in ('paused', 'renewed', 'resumed', 'ended'))
);
comment on table hold_event is 'Every pause, renewal and resumption of a hold. Rows are added by a trigger and never changed.';
comment on column hold_event.hold_event_id is 'The event; ids sort by time.';
comment on column hold_event.platform_id is 'The platform.';
comment on column hold_event.at is 'When.';
comment on column hold_event.event is 'paused, renewed (another end or note), resumed (by somebody''s word), or ended (its time was over).';
comment on column hold_event.appid is 'The hold''s merchant; null: all.';
comment on column hold_event.check_name is 'The hold''s check; null: all.';
comment on column hold_event.endpoint is 'The hold''s endpoint; null: none.';
comment on column hold_event.schedule is 'The hold''s schedule; null: none.';
comment on column hold_event.until is 'When the hold ends, or would have ended, by itself; null: by an operator''s word.';
comment on column hold_event.note is 'Why; empty: nobody said.';
comment on column hold_event.said_by is 'Who; the database''s user for plain SQL, wxpatrol for what ended by itself.';
create index hold_event_by_time on hold_event (at);
comment on index hold_event_by_time is 'Serves the view hold_events and retire_hold_events.sql.';

-- Whoever may write holds need not be able to write, or rewrite, what was said about them.
create function hold_is_remembered() returns trigger
  language plpgsql
  security definer
  set search_path = wxpatrol_data, pg_temp
  as $$
declare
  somebody text := coalesce(nullif(current_setting('wxpatrol.said_by', true), ''), session_user::text);
  why      text := coalesce(current_setting('wxpatrol.said_note', true), '');
begin
  if tg_op = 'INSERT' then
    insert into hold_event (platform_id, event, appid, check_name, endpoint, schedule, until, note, said_by)
    select h.platform_id, 'paused', h.appid, h.check_name, h.endpoint, h.schedule, h.until, h.reason, h.created_by
      from new_holds h
     order by h.hold_id;
  elsif tg_op = 'UPDATE' then
    insert into hold_event (platform_id, event, appid, check_name, endpoint, schedule, until, note, said_by)
    select h.platform_id, 'renewed', h.appid, h.check_name, h.endpoint, h.schedule, h.until, h.reason, somebody
      from new_holds h
      join old_holds o on o.hold_id = h.hold_id
     where (o.until, o.reason) is distinct from (h.until, h.reason)
     order by h.hold_id;
  else
    insert into hold_event (platform_id, event, appid, check_name, endpoint, schedule, until, note, said_by)
    select o.platform_id, case when over.yes then 'ended' else 'resumed' end,
           o.appid, o.check_name, o.endpoint, o.schedule, o.until,
           case when over.yes then '' else why end,
           case when over.yes then 'wxpatrol' else somebody end
      from old_holds o
     cross join lateral (select coalesce(o.until <= clock(), false) as yes) over
     order by o.hold_id;
  end if;
  return null;
end
$$;
comment on function hold_is_remembered() is 'Writes hold_event; who and why come from the settings wxpatrol.said_by and wxpatrol.said_note of the transaction, where they are set.';
create trigger hold_inserted_is_remembered after insert on hold referencing new table as new_holds
  for each statement execute function hold_is_remembered();
create trigger hold_updated_is_remembered after update on hold referencing old table as old_holds new table as new_holds
  for each statement execute function hold_is_remembered();
create trigger hold_deleted_is_remembered after delete on hold referencing old table as old_holds
  for each statement execute function hold_is_remembered();

-- What stands already was paused once.
insert into hold_event (platform_id, at, event, appid, check_name, endpoint, schedule, until, note, said_by)
select h.platform_id, h.created_at, 'paused', h.appid, h.check_name, h.endpoint, h.schedule, h.until, h.reason, h.created_by
  from hold h
 order by h.created_at, h.hold_id;
