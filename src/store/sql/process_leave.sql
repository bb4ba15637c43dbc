-- process_leave.sql: this process ends in order.
-- $1 process
delete from process where process_id = $1
