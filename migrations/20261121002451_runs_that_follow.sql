-- A halted run's work is taken up by another run of its schedule when the platform works again; that one is no tick, and says
-- whose work it takes up. Half applied: apply again.

alter table run add column follows uuid;
comment on column run.follows is 'The halted run whose work this one takes up, which may be gone by now; null: it is a tick of its own, or by hand.';
comment on column run.fire_at is 'The instant of the tick, in UTC; of a run that takes up what a halted one left, the end of that one.';
comment on column run.state is 'skipped: the tick was not run, the reason says why; missed: no process heard it in time; buffered: it waits for the run before it, or until the halted platform works again.';

create or replace view wxpatrol.ticks as
select p.component_appid as platform,
       r.schedule,
       r.fire_at,
       r.state,
       r.reason,
       r.missed_ticks,
       r.missed_since,
       r.buffered_at,
       case when r.state not in ('skipped', 'missed', 'buffered') then r.started_at end as begun_at,
       case when r.state not in ('skipped', 'missed', 'buffered') and r.follows is null
            then round(extract(epoch from r.started_at - r.fire_at), 1) end as lag_secs,
       r.ended_at,
       r.run_id,
       r.follows
  from wxpatrol_data.run r
  join wxpatrol_data.platform p on p.platform_id = r.platform_id
 where r.schedule is not null
 order by r.fire_at desc, r.run_id desc;
comment on view wxpatrol.ticks is 'What became of each tick of the schedules, newest first: run, skipped, missed, or waiting, and why; and the runs that take up what a halted one left.';
comment on column wxpatrol.ticks.fire_at is 'The instant of the tick; of a run that takes up what a halted one left, the end of that one.';
comment on column wxpatrol.ticks.state is 'open, complete, interrupted, halted: its run; skipped: not run; missed: no process heard it in time; buffered: waits for the run before it, or until the halted platform works again.';
comment on column wxpatrol.ticks.lag_secs is 'How many seconds after its instant it began; null: it has not begun, or is no tick.';
comment on column wxpatrol.ticks.follows is 'The halted run whose work it takes up; null: it is a tick of its own.';
