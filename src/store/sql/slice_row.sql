-- slice_row.sql: a limit that has no row yet, or lost it in a crash of Postgres, starts a second late.
-- $1 platform, $2 endpoint
insert into pace (platform_id, endpoint, tat) values ($1, $2, clock() + interval '1 s') on conflict do nothing
