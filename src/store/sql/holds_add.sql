-- holds_add.sql: new holds; a trigger marks the items that they cover.
-- $1 platform, $2 note or null, $3 until or null, $4 who, arrays: $5 appid, $6 check, $7 endpoint, $8 schedule ('' = not
-- named)
insert into hold (platform_id, appid, check_name, endpoint, schedule, reason, created_by, until)
select $1, nullif(s.appid, ''), nullif(s.check_name, ''), nullif(s.endpoint, ''), nullif(s.schedule, ''), coalesce($2, ''), $4,
       $3
  from unnest($5::text[], $6::text[], $7::text[], $8::text[]) as s (appid, check_name, endpoint, schedule)
