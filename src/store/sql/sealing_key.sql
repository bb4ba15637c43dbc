-- sealing_key.sql: the canary, sealed with the key in use.
-- Locked against sealing_lock.sql: a process that begins while the key changes reads the new one.
select canary from sealing_key for share
