-- A schedule can be held too. The new column is null in every row there is, and binaries that do not know it leave it so.

alter table hold
  add column schedule text,
  drop constraint a_hold_names_something,
  add constraint a_hold_names_something check (appid is not null or check_name is not null or endpoint is not null or schedule is not null),
  add constraint a_schedule_is_held_alone check (schedule is null or (appid is null and check_name is null and endpoint is null));
comment on table hold is 'Pauses: of a merchant, a check, a check of a merchant, an endpoint, or a schedule. Deleting the row resumes.';
comment on column hold.schedule is 'The ticks of this schedule are skipped; null: none.';
