-- intents_confirmed.sql: a complete reading showed invitations whose answer was lost: they were made.
-- $1 platform, arrays: $2 official account, $3 mini program
update intent t
   set outcome = 'made',
       settled_at = clock()
  from (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[]) as u (official_account, mini_program)
        offset 0) s
 where t.platform_id = s.platform_id
   and t.appid = s.official_account
   and t.purpose = 'invite'
   and t.counterpart = s.mini_program
   and t.outcome = 'unknown'
