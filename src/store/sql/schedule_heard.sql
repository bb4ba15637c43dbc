-- schedule_heard.sql: the mark of a schedule moves on.
-- $1 platform, $2 schedule, $3 the mark. The row is locked already (schedule_lock.sql).
update schedule set heard_until = $3 where platform_id = $1 and schedule = $2
