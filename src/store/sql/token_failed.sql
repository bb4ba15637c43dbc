-- token_failed.sql: a refresh that failed for a passing reason: the cool-down doubles from 5 s to 5 min, or to
-- 15 s for the platform's own token, without which nothing goes on.
-- $1 platform, $2 appid, $3 fence, $4 reason
update credential
   set leased_until = null,
       failures = failures + 1,
       cool_until = clock() + least(interval '5 s' * power(2, least(failures, 10)), case when appid = '' then interval '15 s' else interval '5 min' end),
       failure_reason = $4
 where platform_id = $1
   and appid = $2
   and fence = $3
