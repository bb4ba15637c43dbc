-- merchant_info.sql: what WeChat says about a few merchants, and whose planning must look again.
-- $1 platform, arrays: $2 appid, $3 kind, $4 nickname, $5 principal, $6 permission sets as '49,64', $7 account status
update merchant m
   set kind = s.kind,
       nickname = s.nickname,
       principal = s.principal,
       permission_sets = string_to_array(s.sets, ',')::int[],
       account_status = s.account_status,
       info_at = clock(),
       plan_stale = m.plan_stale
                 or m.kind <> s.kind
                 or m.permission_sets is distinct from string_to_array(s.sets, ',')::int[]
                 or m.account_status is distinct from s.account_status
  from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[])
         as s (appid, kind, nickname, principal, sets, account_status)
 where m.platform_id = $1
   and m.appid = s.appid
