-- sealing_change.sql: another key is in use from now on. The row is locked already (sealing_lock.sql).
-- $1 the canary, sealed with that key
update sealing_key set canary = $1
