-- The work: standing items that become due again and again, the runs and their coverage.

create table item (
  platform_id integer     not null,
  appid       text        collate "C" not null,
  check_name  text        collate "C" not null,
  counterpart text        collate "C" not null default '',
  due_at      timestamptz not null,
  due_since   timestamptz not null,
  free_at     timestamptz not null default '-infinity',
  held        boolean     not null default false,
  leased_by   uuid,
  fence       bigint      not null default 0,
  attempts    smallint    not null default 0,
  slowed      smallint    not null default 0,
  recorded_at timestamptz,
  done_at     timestamptz,
  outcome     text,
  reason      text,
  class       text,
  errcode     bigint,
  rid         text,
  run_id      uuid,
  primary key (platform_id, appid, check_name, counterpart),
  constraint item_belongs_to_a_merchant foreign key (platform_id, appid) references merchant (platform_id, appid),
  constraint outcome_is_known_word check (outcome in ('done', 'again', 'deferred', 'skipped', 'failed')),
  constraint every_outcome_but_done_has_a_reason check (outcome is null or outcome = 'done' or reason is not null)
) with (fillfactor = 60);
comment on table item is 'One check of one merchant (and counterpart): a standing row that becomes due again and again.';
comment on column item.due_at is 'The item may be claimed from then on. While leased it is the end of the lease; infinity: dormant.';
comment on column item.due_since is 'Since when the present work is due; survives claims, so that age is known.';
comment on column item.free_at is 'The merchant''s own limit on the endpoint: no call for it before then.';
comment on column item.held is 'A merchant''s hold covers this item; kept by a trigger on hold.';
comment on column item.leased_by is 'The process that holds the lease; null when not leased.';
comment on column item.fence is 'Grows with every claim; a record with an older fence changes nothing.';
comment on column item.attempts is 'Failed tries of the present work. Being slowed down or interrupted does not count.';
comment on column item.slowed is 'Times in a row that WeChat told us to slow down for this item.';
comment on column item.recorded_at is 'When any outcome was last recorded.';
comment on column item.done_at is 'When the check last ended well.';
create index item_due on item (platform_id, check_name, due_at, appid, counterpart) where not held and due_at < 'infinity';
comment on index item_due is 'Serves claim.sql and run_unfinished.sql: new, delayed and abandoned items alike.';

create table run (
  run_id      uuid        primary key,
  platform_id integer     not null references platform,
  schedule    text,
  fire_at     timestamptz,
  checks      text[]      not null,
  merchants   text[],
  all_due     boolean     not null default false,
  dry_run     boolean     not null default false,
  started_at  timestamptz not null,
  deadline_at timestamptz not null,
  planned_at  timestamptz,
  ended_at    timestamptz,
  state       text        not null default 'open',
  reason      text,
  started_by  uuid,
  constraint a_tick_runs_once unique (platform_id, schedule, fire_at),
  constraint a_schedule_has_its_tick check ((schedule is null) = (fire_at is null)),
  constraint state_is_known_word check (state in ('open', 'complete', 'interrupted', 'halted', 'skipped')),
  constraint an_ended_run_has_its_end check ((state = 'open') = (ended_at is null)),
  constraint an_unusual_end_has_its_reason check (state in ('open', 'complete') or reason is not null)
);
comment on table run is 'One patrol: a row for each tick of a schedule, or for one --once. It belongs to no process.';
comment on column run.fire_at is 'The instant of the tick, in UTC.';
comment on column run.merchants is 'Only these merchants; null: all.';
comment on column run.state is 'skipped: the tick came while the last run of its schedule was still open.';
create index run_open on run (platform_id) where state = 'open';
create index run_by_start on run (started_at);

create table coverage (
  run_id   uuid    not null references run on delete cascade,
  check_name text  not null,
  total    bigint  not null,
  done     bigint  not null,
  fresh    bigint  not null,
  skipped  bigint  not null,
  deferred bigint  not null,
  failed   bigint  not null,
  reasons  jsonb   not null default '{}',
  primary key (run_id, check_name)
);
comment on table coverage is 'What became of each item in a run''s scope: one bucket for each.';
comment on column coverage.total is 'Counted from merchant and wish, independently of the buckets.';
comment on column coverage.reasons is 'For each bucket but done and fresh: counts by reason.';

-- A hold on merchants marks their items, so that claiming never walks over them.
create function hold_marks_items() returns trigger
  language plpgsql
  as $$
begin
  if tg_op in ('INSERT', 'UPDATE') then
    update wxpatrol_data.item i
       set held = true
      from new_holds h
     where h.appid is not null
       and i.platform_id = h.platform_id
       and i.appid = h.appid
       and (h.check_name is null or i.check_name = h.check_name)
       and not i.held;
  end if;
  if tg_op in ('DELETE', 'UPDATE') then
    update wxpatrol_data.item i
       set held = false
      from old_holds o
     where o.appid is not null
       and i.platform_id = o.platform_id
       and i.appid = o.appid
       and i.held
       and not exists (
             select from wxpatrol_data.hold h
              where h.platform_id = i.platform_id
                and h.appid = i.appid
                and (h.check_name is null or h.check_name = i.check_name));
  end if;
  return null;
end
$$;
create trigger hold_inserted after insert on hold referencing new table as new_holds
  for each statement execute function hold_marks_items();
create trigger hold_deleted after delete on hold referencing old table as old_holds
  for each statement execute function hold_marks_items();
create trigger hold_updated after update on hold referencing old table as old_holds new table as new_holds
  for each statement execute function hold_marks_items();

-- A wish that is taken back takes its invitation item along.
create function unwanted_pair_has_no_item() returns trigger
  language plpgsql
  as $$
begin
  delete from wxpatrol_data.item i
   using old_wishes w
   where i.platform_id = w.platform_id
     and i.appid = w.official_account
     and i.check_name = 'invite'
     and i.counterpart = w.mini_program;
  return null;
end
$$;
create trigger wish_deleted after delete on wish referencing old table as old_wishes
  for each statement execute function unwanted_pair_has_no_item();

-- What a run has in scope, from merchant and wish alone: known and not withdrawn at the run's start.
create function run_scope(r run, unit text) returns table (appid text, counterpart text)
  language sql stable
  as $$
    select m.appid, ''
      from wxpatrol_data.merchant m
     where unit = 'mini_program'
       and m.platform_id = r.platform_id
       and m.kind = 'mini_program'
       and m.known_at <= r.started_at
       and (m.withdrawn_at is null or m.withdrawn_at > r.started_at)
       and (r.merchants is null or m.appid = any (r.merchants))
    union all
    select distinct m.appid, ''
      from wxpatrol_data.wish w
      join wxpatrol_data.merchant m on m.platform_id = w.platform_id and m.appid = w.official_account
     where unit = 'account_with_wish'
       and w.platform_id = r.platform_id
       and w.wanted_at <= r.started_at
       and m.known_at <= r.started_at
       and (m.withdrawn_at is null or m.withdrawn_at > r.started_at)
       and (r.merchants is null or m.appid = any (r.merchants))
    union all
    select m.appid, w.mini_program
      from wxpatrol_data.wish w
      join wxpatrol_data.merchant m on m.platform_id = w.platform_id and m.appid = w.official_account
     where unit = 'wish'
       and w.platform_id = r.platform_id
       and w.wanted_at <= r.started_at
       and m.known_at <= r.started_at
       and (m.withdrawn_at is null or m.withdrawn_at > r.started_at)
       and (r.merchants is null or m.appid = any (r.merchants))
  $$;
comment on function run_scope(run, text) is 'The units that a run must account for; the coverage''s independent count.';

-- Which bucket an item of a run falls into, and why.
create function item_bucket(i item, run_started_at timestamptz, left_because text, left_by_hold boolean,
                            moment timestamptz)
  returns table (bucket text, reason text)
  language sql immutable rows 1
  as $$
    select case
             when i.held and not coalesce(i.recorded_at >= run_started_at and i.outcome = 'done', false) then 'skipped'
             when i.leased_by is not null and i.due_at > moment then 'deferred'
             when i.outcome = 'done' and i.recorded_at >= run_started_at then 'done'
             when i.due_at <= moment and left_because is not null and left_by_hold then 'skipped'
             when i.due_at <= moment then 'deferred'
             when i.outcome = 'done' then 'fresh'
             when i.outcome = 'again' then 'deferred'
             when i.outcome is null then 'deferred'
             else i.outcome
           end,
           case
             when i.held and not coalesce(i.recorded_at >= run_started_at and i.outcome = 'done', false) then 'held'
             when i.leased_by is not null and i.due_at > moment then 'leased'
             when i.outcome = 'done' and i.recorded_at >= run_started_at then null
             when i.due_at <= moment then coalesce(left_because, i.reason, 'due')
             when i.outcome = 'done' then null
             when i.outcome is null then coalesce(left_because, 'due')
             else i.reason
           end
  $$;
comment on function item_bucket(item, timestamptz, text, boolean, timestamptz) is 'One bucket of the coverage for each item: done, fresh, skipped, deferred or failed, with its reason.';
