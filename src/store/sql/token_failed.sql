-- token_failed.sql: a refresh that failed: the cool-down doubles from 5 s to 5 min, or to 15 s for the platform's own
-- token, without which nothing goes on. A refusal that does not pass soon cools down for longer.
-- $1 platform, $2 appid, $3 fence, $4 reason, $5 errcode or null, $6 the shortest cool-down in seconds
update credential
   set leased_until = null,
       failures = failures + 1,
       cool_until = clock() + greatest(
         least(interval '5 s' * power(2, least(failures, 10)), case when appid = '' then interval '15 s' else interval '5 min' end),
         make_interval(secs => $6)),
       failure_reason = $4,
       failure_errcode = $5
 where platform_id = $1
   and appid = $2
   and fence = $3
returning true
