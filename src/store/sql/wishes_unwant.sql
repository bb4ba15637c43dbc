-- wishes_unwant.sql: wishes are taken back; a trigger takes their invitation items along.
-- $1 platform, arrays: $2 official account, $3 mini program
delete from wish w
 using unnest($2::text[], $3::text[]) as s (official_account, mini_program)
 where w.platform_id = $1
   and w.official_account = s.official_account
   and w.mini_program = s.mini_program
returning w.official_account, w.mini_program
