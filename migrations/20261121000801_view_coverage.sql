-- The coverage of each run and check.

create view wxpatrol.coverage as
select p.component_appid as platform,
       r.run_id,
       r.schedule,
       r.started_at,
       r.ended_at,
       r.state,
       c.check_name,
       c.total,
       c.done,
       c.fresh,
       c.skipped,
       c.deferred,
       c.failed,
       c.total = c.done + c.fresh + c.skipped + c.deferred + c.failed as adds_up,
       c.reasons
  from wxpatrol_data.coverage c
  join wxpatrol_data.run r on r.run_id = c.run_id
  join wxpatrol_data.platform p on p.platform_id = r.platform_id
 order by r.started_at desc, r.run_id desc, array_position(r.checks, c.check_name), c.check_name;
comment on view wxpatrol.coverage is 'What became of each item in the scope of each run, newest first: one row for each check.';
comment on column wxpatrol.coverage.platform is 'The component''s appid.';
comment on column wxpatrol.coverage.run_id is 'The run.';
comment on column wxpatrol.coverage.schedule is 'The schedule whose tick began the run; null: begun by hand.';
comment on column wxpatrol.coverage.started_at is 'When the run began.';
comment on column wxpatrol.coverage.ended_at is 'When it ended; null: still open.';
comment on column wxpatrol.coverage.state is 'open, complete, interrupted, halted or skipped.';
comment on column wxpatrol.coverage.check_name is 'The check: phone, ask, callback, links or invite.';
comment on column wxpatrol.coverage.total is 'Items in scope, counted from merchants and wishes, independently of the buckets.';
comment on column wxpatrol.coverage.done is 'Items recorded well since the run''s start, by any run.';
comment on column wxpatrol.coverage.fresh is 'Items that were not due.';
comment on column wxpatrol.coverage.skipped is 'Items with nothing to be done, and a reason.';
comment on column wxpatrol.coverage.deferred is 'Items that wait for a time, and why.';
comment on column wxpatrol.coverage.failed is 'Items that could not be settled, and why.';
comment on column wxpatrol.coverage.adds_up is 'Whether the buckets add up to the total.';
comment on column wxpatrol.coverage.reasons is 'Items by bucket and reason, for skipped, deferred and failed.';
