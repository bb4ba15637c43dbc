-- sealing_first.sql: the first process decides which key the database is sealed with; later ones change nothing.
-- $1 the canary, sealed
insert into sealing_key (canary) values ($1)
on conflict (only_row) do nothing
