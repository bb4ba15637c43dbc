-- identity_first.sql: keeps the identity when none is known. No row: another process was first.
-- $1 system identifier, $2 timeline, $3 the database's number, $4 that of the table of intents
insert into cluster_identity (system_identifier, timeline, database_oid, intents_oid, seen_at)
values ($1, $2, $3, $4, clock())
on conflict (only_row) do nothing
