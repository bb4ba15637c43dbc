-- platform_add.sql: a platform that is not known yet. No row: another process was first.
-- $1 component appid
insert into platform (component_appid) values ($1)
on conflict (component_appid) do nothing
