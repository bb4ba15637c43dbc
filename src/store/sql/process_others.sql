-- process_others.sql: how many other processes live.
-- $1 this process
select count(*)
  from process
 where process_id <> $1
   and beat_at > clock() - interval '30 s'
