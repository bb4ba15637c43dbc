-- token_lease.sql: makes this process the one refresher. The row is locked already (token_claim.sql).
-- $1 platform, $2 appid, $3 lease in seconds
update credential
   set fence = fence + 1,
       leased_until = clock() + make_interval(secs => $3)
 where platform_id = $1
   and appid = $2
returning fence
