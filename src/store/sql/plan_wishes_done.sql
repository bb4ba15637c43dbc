-- plan_wishes_done.sql: planning has looked at these wishes. The rows are locked already (plan_wishes_stale.sql).
-- $1 platform, arrays: $2 official account, $3 mini program
update wish w
   set plan_stale = false,
       word_given = false
  from unnest($2::text[], $3::text[]) as s (official_account, mini_program)
 where w.platform_id = $1
   and w.official_account = s.official_account
   and w.mini_program = s.mini_program
