-- quota_keep.sql: what became of a question about a merchant's quota. Missing figures are null: unknown. May be repeated.
-- $1 platform, $2 appid, $3 endpoint, $4 errcode (null: answered), $5 calls a day, $6 used today, $7 calls in $8 seconds,
-- $9 calls in $10 seconds on behalf of the merchant. A refusal keeps the figures of the last answer.
update quota q
   set answered_at = case when $4::bigint is null then clock() else q.answered_at end,
       errcode = $4,
       daily_limit = case when $4 is null then $5 else q.daily_limit end,
       used = case when $4 is null then $6 else q.used end,
       rate_count = case when $4 is null then $7 else q.rate_count end,
       rate_seconds = case when $4 is null then $8 else q.rate_seconds end,
       platform_count = case when $4 is null then $9 else q.platform_count end,
       platform_seconds = case when $4 is null then $10 else q.platform_seconds end
 where q.platform_id = $1
   and q.appid = $2
   and q.endpoint = $3
