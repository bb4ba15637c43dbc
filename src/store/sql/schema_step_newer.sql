-- schema_step_newer.sql: the newest schema step that no longer tolerates this binary, null when all do.
-- $1 the binary's own step
select max(step) from schema_step where tolerates > $1
