-- schedule_lock.sql: locks a schedule until the transaction ends; its ticks are decided on, and begun, one after another.
-- $1 platform, $2 schedule. No other row is locked before it.
select heard_until from schedule where platform_id = $1 and schedule = $2 for update
