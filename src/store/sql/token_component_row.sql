-- token_component_row.sql: the platform's own token has a row, so that there is something to lease.
-- $1 platform
insert into credential (platform_id, appid) values ($1, '') on conflict do nothing
