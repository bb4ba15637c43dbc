-- intend_day.sql: today's count of a purpose, locked, so that no two processes take the last one.
-- $1 platform, $2 purpose, $3 day of platform time
insert into message_day as d (platform_id, purpose, day)
values ($1, $2, $3)
on conflict (platform_id, purpose, day) do update
   set used = d.used
returning d.used
