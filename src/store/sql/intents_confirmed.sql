-- intents_confirmed.sql: a complete reading showed invitations whose answer was lost: they were made.
-- $1 platform, arrays: $2 official account, $3 mini program
update intent t
   set outcome = 'made',
       settled_at = clock()
  from unnest($2::text[], $3::text[]) as s (official_account, mini_program)
 where t.platform_id = $1
   and t.appid = s.official_account
   and t.purpose = 'invite'
   and t.counterpart = s.mini_program
   and t.outcome = 'unknown'
