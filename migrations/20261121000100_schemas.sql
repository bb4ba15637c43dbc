-- The two schemas, the clock and the record of what each schema step tolerates.
-- Half applied: nothing works yet, apply again.

comment on schema wxpatrol_data is 'The tables of wxpatrol. Operators write to wish and hold; everything else is the program''s.';

create schema wxpatrol;
comment on schema wxpatrol is 'The face of wxpatrol: views only. Names and columns are stable.';

create table schema_step (
  step         integer     primary key,
  tolerates    integer     not null,
  applied_at   timestamptz not null default now(),
  constraint a_step_tolerates_itself_or_older check (tolerates <= step)
);
comment on table schema_step is 'One row for each step of the schema: which binaries may still work on it.';
comment on column schema_step.tolerates is 'The oldest schema step whose binary may run on a database that has this step.';

insert into schema_step (step, tolerates) values (1, 1);

create table rehearsal_clock (
  only_row boolean  primary key default true,
  shift    interval not null    default interval '0',
  constraint there_is_one_clock check (only_row)
);
comment on table rehearsal_clock is 'By how much the clock is moved, for rehearsals and tests. Zero in production.';
insert into rehearsal_clock default values;

create function clock() returns timestamptz
  language sql volatile parallel safe
  as 'select clock_timestamp() + shift from wxpatrol_data.rehearsal_clock';
comment on function clock() is 'Now, for everything that is due, leased, held, closed or asked about. The only clock that decides.';
