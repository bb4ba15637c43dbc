-- identity_first.sql: keeps the identity when none is known. No row: another process was first.
-- $1 system identifier, $2 timeline
insert into cluster_identity (system_identifier, timeline, seen_at)
values ($1, $2, clock())
on conflict (only_row) do nothing
