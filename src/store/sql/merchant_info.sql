-- merchant_info.sql: what WeChat says about a few merchants, and whose planning must look again. What the operator's own list
-- gives, and is known from it, stays as it is. What was asked before the merchant's authorization changed is not kept: it is
-- asked again. Permission sets that it does not tell stay as well.
-- $1 platform, arrays: $2 appid, $3 kind, $4 nickname, $5 principal, $6 permission sets as '49,64', $7 account status,
-- $8 asked at (null: now); $9 the columns that the operator's own list gives
with said as (
  select m.platform_id,
         m.appid,
         coalesce(s.asked_at, clock()) as asked_at,
         case when 'kind' = any ($9) and m.kind <> 'unknown' then m.kind else s.kind end as kind,
         case when 'nickname' = any ($9) then coalesce(m.nickname, s.nickname) else s.nickname end as nickname,
         case when 'principal' = any ($9) then coalesce(m.principal, s.principal) else s.principal end as principal,
         case when 'permission_sets' = any ($9) and m.permission_sets is not null then m.permission_sets
              else coalesce(string_to_array(s.sets, ',')::int[], m.permission_sets) end as permission_sets,
         case when 'account_status' = any ($9) then coalesce(m.account_status, s.account_status)
              else s.account_status end as account_status
    from (select $1::int as platform_id, u.*
            from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::timestamptz[])
                   as u (appid, kind, nickname, principal, sets, account_status, asked_at)
          offset 0) s
    join merchant m
      on m.platform_id = s.platform_id
     and m.appid = s.appid
)
update merchant m
   set kind = s.kind,
       nickname = s.nickname,
       principal = s.principal,
       permission_sets = s.permission_sets,
       account_status = s.account_status,
       info_at = clock(),
       plan_stale = m.plan_stale
                 or m.kind <> s.kind
                 or m.permission_sets is distinct from s.permission_sets
                 or m.account_status is distinct from s.account_status
  from said s
 where m.platform_id = s.platform_id
   and m.appid = s.appid
   and (m.word_at is null or m.word_at < s.asked_at)
