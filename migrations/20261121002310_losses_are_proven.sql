-- A refused refresh token counts as lost only when a reading of the authorizer list that began after the refusal brought no
-- other one. Until then its items wait, and are found by an index of their own, which is nearly always empty. Building it
-- reads `item` once and holds up claims meanwhile: a second for millions of rows. Half applied: apply again. Older programs
-- write none of it: with one of them at work, losses wait for the next reading of a newer one, or for a sync of theirs.

alter table recovery
  add column ended_at    timestamptz,
  add column complete_at timestamptz;
comment on column recovery.ended_at is 'When the newest reading ended; the next one waits three times as long as it took. Null: it has not, or before this was written down.';
comment on column recovery.complete_at is 'When the newest complete reading began, syncs included: who was lost before then, and still is, is lost for good. Null: there was none yet.';

alter table credential
  add column losses integer not null default 0,
  add constraint losses_are_counted check (losses >= 0);
comment on column credential.losses is 'Refusals of refresh tokens since the last one that worked: a list that brings refused tokens again and again is read less often.';

create index item_recovering on item (platform_id, appid) where reason = 'token_recovering';
comment on index item_recovering is 'Serves recovery_wake.sql.';
