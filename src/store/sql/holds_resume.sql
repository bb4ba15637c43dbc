-- holds_resume.sql: holds end; a trigger frees the items that no other hold covers.
-- $1 platform, arrays: $2 appid, $3 check, $4 endpoint, $5 schedule ('' = not named)
delete from hold h
 using unnest($2::text[], $3::text[], $4::text[], $5::text[]) as s (appid, check_name, endpoint, schedule)
 where h.platform_id = $1
   and coalesce(h.appid, '') = s.appid
   and coalesce(h.check_name, '') = s.check_name
   and coalesce(h.endpoint, '') = s.endpoint
   and coalesce(h.schedule, '') = s.schedule
