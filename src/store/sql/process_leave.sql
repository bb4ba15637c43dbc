-- process_leave.sql: this process ends in order, and what it was set to holds nobody back any more.
-- $1 process
with settings as (
  delete from limit_setting where process_id = $1
)
delete from process where process_id = $1
