-- Ticks are decided on once over all processes by the mark of their schedule; they may wait, and say what they stand for.
-- A binary that knows no marks goes on inserting runs; a tick that it was first to insert is found by a_tick_runs_once.

create table schedule (
  platform_id integer     not null references platform,
  schedule    text        not null,
  cadence     text        not null,
  heard_until timestamptz not null,
  primary key (platform_id, schedule)
);
comment on table schedule is 'Each schedule of a platform that a process has listened to. Its row is locked while its ticks are decided on.';
comment on column schedule.platform_id is 'The platform.';
comment on column schedule.schedule is 'The check''s name, or sync.';
comment on column schedule.cadence is 'The cron expression with its zone, as the process that started last has it.';
comment on column schedule.heard_until is 'Every tick up to here, this instant included, is decided on; it only moves on.';

alter table run
  add column missed_ticks integer not null default 0,
  add column missed_since timestamptz,
  add column buffered_at  timestamptz,
  drop constraint state_is_known_word,
  add constraint state_is_known_word check (state in ('open', 'complete', 'interrupted', 'halted', 'skipped', 'buffered', 'missed')),
  drop constraint an_ended_run_has_its_end,
  add constraint an_ended_run_has_its_end check ((state in ('open', 'buffered')) = (ended_at is null)),
  add constraint missed_ticks_have_their_first check ((missed_ticks > 0) = (missed_since is not null)),
  add constraint what_waits_says_since_when check (state <> 'buffered' or buffered_at is not null);
comment on column run.state is 'skipped: the tick was not run, the reason says why; missed: no process heard it in time; buffered: it waits for the run before it.';
comment on column run.started_at is 'When it began; when it was recorded, for a tick that has not begun.';
comment on column run.missed_ticks is 'Earlier ticks of the schedule that were missed and for which this row stands; counted up to 9999.';
comment on column run.missed_since is 'The first of those ticks; null: none.';
comment on column run.buffered_at is 'Since when the tick waited for the run before it; null: it did not wait.';
create index run_waiting on run (platform_id, schedule, fire_at) where state = 'buffered';
comment on index run_waiting is 'Serves run_tick.sql, ticks_waiting.sql and run_begin_waiting.sql.';
