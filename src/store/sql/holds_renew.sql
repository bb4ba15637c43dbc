-- holds_renew.sql: holds that stand already get the new end, and the new note when there is one.
-- The hold after a restore is nobody's to renew: a pause stands beside it, and only an operator's resume ends it.
-- $1 platform, $2 note or null, $3 until or null, arrays: $4 appid, $5 check, $6 endpoint, $7 schedule ('' = not named), $8 the
-- reason of the hold after a restore
-- Answers with the ordinals of what was held already. The table is locked already (holds_lock.sql).
update hold h
   set reason = coalesce($2, h.reason),
       until = $3
  from unnest($4::text[], $5::text[], $6::text[], $7::text[]) with ordinality
       as s (appid, check_name, endpoint, schedule, ordinal)
 where h.platform_id = $1
   and coalesce(h.appid, '') = s.appid
   and coalesce(h.check_name, '') = s.check_name
   and coalesce(h.endpoint, '') = s.endpoint
   and coalesce(h.schedule, '') = s.schedule
   and not (h.created_by = 'wxpatrol' and h.appid is null and h.reason = $8)
returning s.ordinal
