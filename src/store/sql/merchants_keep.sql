-- merchants_keep.sql: merchants from a list or a file. Null fields leave what is known alone; a merchant that was
-- withdrawn and is named again is back. An operator's own list is believed less: who withdrew by WeChat's own word (an
-- event, 61003) stays so while the list goes on to name it, unless it authorized later, or the list says nothing of when
-- and a week has passed: then it is tried again. Who was withdrawn for its absence is back there too. A page that was asked for
-- before an event came says nothing of that merchant.
-- $1 platform, arrays: $2 appid, $3 kind, $4 nickname, $5 principal, $6 permission sets as '49,64', $7 account status,
-- $8 authorized at, $9 asked at (null: now); $10 whether a list named them, WeChat's or the operator's, $11 whether the
-- operator's own, $12 whether that says everything that WeChat would be asked about. Rows are written in key order.
insert into merchant as m (platform_id, appid, kind, nickname, principal, permission_sets, account_status, authorized_at,
                           listed_at, info_at, word_at)
select $1, s.appid, coalesce(s.kind, 'unknown'), s.nickname, s.principal, string_to_array(s.sets, ',')::int[],
       s.account_status, s.authorized_at, case when $10 then clock() end,
       case when $12 and s.kind is not null then clock() end, s.asked_at
  from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::timestamptz[],
              $9::timestamptz[]) as s (appid, kind, nickname, principal, sets, account_status, authorized_at, asked_at)
 order by s.appid
on conflict (platform_id, appid) do update
   set kind = case when excluded.kind = 'unknown' then m.kind else excluded.kind end,
       nickname = coalesce(excluded.nickname, m.nickname),
       principal = coalesce(excluded.principal, m.principal),
       permission_sets = coalesce(excluded.permission_sets, m.permission_sets),
       account_status = coalesce(excluded.account_status, m.account_status),
       authorized_at = coalesce(excluded.authorized_at, m.authorized_at),
       listed_at = coalesce(excluded.listed_at, m.listed_at),
       absent_passes = 0,
       withdrawn_at = null,
       word_at = case when m.withdrawn_at is null then m.word_at else coalesce(excluded.word_at, m.word_at) end,
       info_at = case when excluded.info_at is not null then excluded.info_at
                      when m.withdrawn_at is not null or excluded.authorized_at > m.authorized_at then null
                      else m.info_at end,
       plan_stale = m.plan_stale
                 or m.withdrawn_at is not null
                 or $11 and coalesce(excluded.authorized_at > m.authorized_at, false)
                 or excluded.kind not in ('unknown', m.kind)
                 or excluded.permission_sets is not null and excluded.permission_sets is distinct from m.permission_sets
                 or excluded.account_status is not null and excluded.account_status is distinct from m.account_status
 where (m.word_at is null or excluded.word_at is null or m.word_at <= excluded.word_at)
   and (not $11
        or m.withdrawn_at is null
        or m.absent_passes >= 2
        or excluded.authorized_at > m.withdrawn_at
        or excluded.authorized_at is null and m.withdrawn_at < clock() - interval '7 days')
