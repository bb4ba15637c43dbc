-- limits_forget.sql: forgets what was learned about limits and is learned anew by nobody: who learns does so every hour.
-- $1 platform, $2 hours. May be repeated.
delete from learned
 where platform_id = $1
   and learned_at < clock() - make_interval(hours => $2)
