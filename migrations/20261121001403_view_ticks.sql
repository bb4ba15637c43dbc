-- What became of each tick.

create view wxpatrol.ticks as
select p.component_appid as platform,
       r.schedule,
       r.fire_at,
       r.state,
       r.reason,
       r.missed_ticks,
       r.missed_since,
       r.buffered_at,
       case when r.state not in ('skipped', 'missed', 'buffered') then r.started_at end as begun_at,
       case when r.state not in ('skipped', 'missed', 'buffered')
            then round(extract(epoch from r.started_at - r.fire_at), 1) end as lag_secs,
       r.ended_at,
       r.run_id
  from wxpatrol_data.run r
  join wxpatrol_data.platform p on p.platform_id = r.platform_id
 where r.schedule is not null
 order by r.fire_at desc, r.run_id desc;
comment on view wxpatrol.ticks is 'What became of each tick of the schedules, newest first: run, skipped, missed, or waiting, and why.';
comment on column wxpatrol.ticks.platform is 'The component''s appid.';
comment on column wxpatrol.ticks.schedule is 'The schedule: a check''s name, or sync.';
comment on column wxpatrol.ticks.fire_at is 'The instant of the tick.';
comment on column wxpatrol.ticks.state is 'open, complete, interrupted, halted: its run; skipped: not run; missed: no process heard it in time; buffered: waits for the run before it.';
comment on column wxpatrol.ticks.reason is 'Why it is skipped, missed or waits, or ended unusually; null: no reason is needed.';
comment on column wxpatrol.ticks.missed_ticks is 'Earlier ticks that were missed and for which this row stands.';
comment on column wxpatrol.ticks.missed_since is 'The first of those; null: none.';
comment on column wxpatrol.ticks.buffered_at is 'Since when it waited for the run before it; null: it did not wait.';
comment on column wxpatrol.ticks.begun_at is 'When its run began; null: it has not begun.';
comment on column wxpatrol.ticks.lag_secs is 'How many seconds after its instant it began; null: it has not begun.';
comment on column wxpatrol.ticks.ended_at is 'When its run ended, or when it was recorded as skipped or missed; null: open or waiting.';
comment on column wxpatrol.ticks.run_id is 'Its row among the runs.';
