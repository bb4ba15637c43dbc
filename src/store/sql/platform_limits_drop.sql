-- platform_limits_drop.sql: the environment's limits hold again.
-- $1 platform, arrays: $2 endpoint, $3 whether it is each merchant's
delete from platform_limit l
 using unnest($2::text[], $3::boolean[]) as s (endpoint, per_merchant)
 where l.platform_id = $1
   and l.endpoint = s.endpoint
   and l.per_merchant = s.per_merchant
