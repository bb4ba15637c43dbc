-- process_prune.sql: rows of processes that died more than a day ago, and their settings.
with settings as (
  delete from limit_setting where told_at < clock() - interval '1 day'
)
delete from process where beat_at < clock() - interval '1 day'
