-- intend_write.sql: the message is written down before it is made; the primary key keeps its number unique.
-- $1 platform, $2 purpose, $3 appid, $4 counterpart, $5 number, $6 now, $7 the call's length in seconds, $8 process
insert into intent (platform_id, purpose, appid, counterpart, number, made_at, deadline_at, process_id)
values ($1, $2, $3, $4, $5, $6, $6::timestamptz + make_interval(secs => $7), $8)
