-- push_ask_back.sql: WeChat did not hear that tickets are wanted: it may be asked again in a minute.
-- $1 platform, $2 seconds between two askings. May be repeated.
update platform
   set push_asked_at = least(push_asked_at, clock() - make_interval(secs => $2 - 60))
 where platform_id = $1
