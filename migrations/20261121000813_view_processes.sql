-- The processes that share the work.

create view wxpatrol.processes as
select c.process_id,
       c.purpose,
       c.version,
       c.started_at,
       c.beat_at,
       c.beat_at > (select m.now from wxpatrol_data.moment m) - interval '30 s' as alive,
       c.last_claim_at,
       c.clock_skew_ms
  from wxpatrol_data.process c
 order by c.started_at, c.process_id;
comment on view wxpatrol.processes is 'The processes that share the work, oldest first, and whether they are alive.';
comment on column wxpatrol.processes.process_id is 'The process.';
comment on column wxpatrol.processes.purpose is 'What it does: run, once, sync, ...';
comment on column wxpatrol.processes.version is 'Its version of wxpatrol.';
comment on column wxpatrol.processes.started_at is 'When it began.';
comment on column wxpatrol.processes.beat_at is 'When it last showed that it lives.';
comment on column wxpatrol.processes.alive is 'Whether that was in the last 30 s.';
comment on column wxpatrol.processes.last_claim_at is 'When it last claimed items; null: it has not.';
comment on column wxpatrol.processes.clock_skew_ms is 'Milliseconds by which its clock is ahead of Postgres''s; negative: behind; null: not measured.';
