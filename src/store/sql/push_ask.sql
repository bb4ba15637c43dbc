-- push_ask.sql: makes this process the one that asks WeChat for tickets, when none came for a while. No row: tickets come,
-- or somebody asked within that time.
-- $1 platform, $2 how long is a while, in seconds
update platform
   set push_asked_at = clock()
 where platform_id = $1
   and (ticket_at is null or ticket_at <= clock() - make_interval(secs => $2))
   and (push_asked_at is null or push_asked_at <= clock() - make_interval(secs => $2))
returning extract(epoch from clock() - ticket_at)::float8 as ticket_age_secs
