-- links_of_pairs.sql: a few pairs, locked in key order, and whether they are still wanted.
-- $1 platform, arrays: $2 official account, $3 mini program
select l.official_account, l.mini_program, l.state, l.since, l.invited_at, l.invite_confirmed, l.absent_readings,
       l.errcode, l.reason, l.deferred_until,
       w.platform_id is not null as wanted
  from (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[]) as u (official_account, mini_program)
        offset 0) s
  join link l
    on l.platform_id = s.platform_id
   and l.official_account = s.official_account
   and l.mini_program = s.mini_program
  left join wish w
    on w.platform_id = l.platform_id
   and w.official_account = l.official_account
   and w.mini_program = l.mini_program
 order by l.platform_id, l.official_account, l.mini_program
   for update of l
