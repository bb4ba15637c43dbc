-- intend_invite_wanted.sql: whether the invitation is still wanted: the wish stands, and a complete reading of the last
-- day did not show the pair.
-- $1 platform, $2 official account, $3 mini program
select l.read_at > clock() - interval '25 hours'
       and (l.state = 'wanted' or l.state = 'deferred' and l.deferred_until <= clock()) as wanted,
       w.notify_users,
       w.show_profile
  from wish w
  join link l
    on l.platform_id = w.platform_id
   and l.official_account = w.official_account
   and l.mini_program = w.mini_program
  join merchant mp
    on mp.platform_id = w.platform_id
   and mp.appid = w.mini_program
 where w.platform_id = $1
   and w.official_account = $2
   and w.mini_program = $3
