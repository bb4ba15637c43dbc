-- sealing_lock.sql: the canary, locked, so that the key in use changes once.
select canary from sealing_key for update
