-- intend_write.sql: messages are written down before they are made; the primary key keeps a number unique.
-- $1 platform, $2 purpose, $3 now, $4 the call's length in seconds, $5 process, arrays: $6 appid, $7 counterpart, $8 number
insert into intent (platform_id, purpose, appid, counterpart, number, made_at, deadline_at, process_id)
select $1, $2, s.appid, s.counterpart, s.number, $3, $3::timestamptz + make_interval(secs => $4), $5
  from unnest($6::text[], $7::text[], $8::int[]) as s (appid, counterpart, number)
