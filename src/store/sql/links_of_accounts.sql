-- links_of_accounts.sql: every pair of a few official accounts, locked in key order, and whether it is still wanted.
-- $1 platform, $2 official accounts
select l.official_account, l.mini_program, l.state, l.since, l.invited_at, l.invite_confirmed, l.absent_readings,
       l.errcode, l.reason, l.deferred_until,
       w.platform_id is not null as wanted
  from (select $1::int as platform_id, official_account
          from unnest($2::text[]) as official_account
        offset 0) s
  join link l
    on l.platform_id = s.platform_id
   and l.official_account = s.official_account
  left join wish w
    on w.platform_id = l.platform_id
   and w.official_account = l.official_account
   and w.mini_program = l.mini_program
 order by l.platform_id, l.official_account, l.mini_program
   for update of l
