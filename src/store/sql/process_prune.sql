-- process_prune.sql: rows of processes that died more than a day ago.
delete from process where beat_at < clock() - interval '1 day'
