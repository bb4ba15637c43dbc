-- plan_wishes_done.sql: planning has looked at these wishes. The rows are locked already (plan_wishes_stale.sql).
-- $1 platform, arrays: $2 official account, $3 mini program
update wish w
   set plan_stale = false,
       word_given = false
  from (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[]) as u (official_account, mini_program)
        offset 0) s
 where w.platform_id = s.platform_id
   and w.official_account = s.official_account
   and w.mini_program = s.mini_program
