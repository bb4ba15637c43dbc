-- Whether a platform was ever synced to the end: also by hand, which leaves no run. Some merchant that is known says nothing of it:
-- an event brings one at a time. An older binary does not write it, and its runs say the same. Half applied: apply again.

alter table platform add column synced_at timestamptz;
comment on column platform.synced_at is 'When a sync of its merchants last came to its end, by schedule or by hand; null: none did, as far as this column tells: a run of its schedule may.';
