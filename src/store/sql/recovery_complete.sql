-- recovery_complete.sql: the authorizer list was read from its beginning to its end, by a recovery or a sync: what was
-- lost before that, and still is, is not in it. Without a row nothing was ever lost.
-- $1 platform, $2 when the reading began
update recovery
   set complete_at = $2
 where platform_id = $1
   and (complete_at is null or complete_at < $2)
