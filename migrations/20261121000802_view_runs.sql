-- The runs with their coverage in one line.

create view wxpatrol.runs as
select p.component_appid as platform,
       r.run_id,
       r.schedule,
       r.fire_at,
       array_to_string(r.checks, ' ') as checks,
       cardinality(r.merchants) as merchants,
       r.all_due,
       r.dry_run,
       r.started_at,
       r.ended_at,
       round(extract(epoch from coalesce(r.ended_at, (select m.now from wxpatrol_data.moment m)) - r.started_at), 1) as duration_secs,
       r.state,
       r.reason,
       c.total,
       c.done,
       c.fresh,
       c.skipped,
       c.deferred,
       c.failed,
       c.adds_up
  from wxpatrol_data.run r
  join wxpatrol_data.platform p on p.platform_id = r.platform_id
  left join lateral (
       select sum(c.total)::bigint as total,
              sum(c.done)::bigint as done,
              sum(c.fresh)::bigint as fresh,
              sum(c.skipped)::bigint as skipped,
              sum(c.deferred)::bigint as deferred,
              sum(c.failed)::bigint as failed,
              bool_and(c.total = c.done + c.fresh + c.skipped + c.deferred + c.failed) as adds_up
         from wxpatrol_data.coverage c
        where c.run_id = r.run_id) c on true
 order by r.started_at desc, r.run_id desc;
comment on view wxpatrol.runs is 'The runs, newest first: when, how they ended and why, and their coverage over all checks.';
comment on column wxpatrol.runs.platform is 'The component''s appid.';
comment on column wxpatrol.runs.run_id is 'The run; ids sort by time.';
comment on column wxpatrol.runs.schedule is 'The schedule whose tick began the run; null: begun by hand.';
comment on column wxpatrol.runs.fire_at is 'The instant of that tick; null: begun by hand.';
comment on column wxpatrol.runs.checks is 'The checks of the run, separated by spaces.';
comment on column wxpatrol.runs.merchants is 'To how many merchants the run was limited; null: all.';
comment on column wxpatrol.runs.all_due is 'Whether the run made due what was not (--all).';
comment on column wxpatrol.runs.dry_run is 'Whether the run messaged nobody (--dry-run).';
comment on column wxpatrol.runs.started_at is 'When it began.';
comment on column wxpatrol.runs.ended_at is 'When it ended; null: still open.';
comment on column wxpatrol.runs.duration_secs is 'Seconds from its beginning to its end, or until now while open.';
comment on column wxpatrol.runs.state is 'open, complete, interrupted, halted, or skipped: the last run of the schedule was still open.';
comment on column wxpatrol.runs.reason is 'Why it ended unusually; null: it did not.';
comment on column wxpatrol.runs.total is 'Items in scope over all checks; null: not counted yet.';
comment on column wxpatrol.runs.done is 'Items recorded well since the run''s start; null: not counted yet.';
comment on column wxpatrol.runs.fresh is 'Items that were not due; null: not counted yet.';
comment on column wxpatrol.runs.skipped is 'Items with nothing to be done; null: not counted yet.';
comment on column wxpatrol.runs.deferred is 'Items that wait for a time; null: not counted yet.';
comment on column wxpatrol.runs.failed is 'Items that could not be settled; null: not counted yet.';
comment on column wxpatrol.runs.adds_up is 'Whether the buckets of every check add up to its total; null: not counted yet.';
