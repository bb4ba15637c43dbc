-- intend_invites_wanted.sql: whether invitations are still wanted: the wish stands, and a complete reading of the last
-- day did not show the pair, and the mini program is one, and has not withdrawn.
-- $1 platform, arrays: $2 official account, $3 mini program. Answers with ordinals; one that is missing has no wish.
with moment as materialized (
  select clock() as now
)
select s.ordinal,
       coalesce(mp.withdrawn_at is null
                and mp.kind in ('mini_program', 'unknown')
                and l.read_at > m.now - interval '25 hours'
                and (l.state = 'wanted' or l.state = 'deferred' and l.deferred_until <= m.now), false) as wanted,
       0 as granted,
       w.notify_users,
       w.show_profile
  from moment m,
       (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[]) with ordinality
                 as u (official_account, mini_program, ordinal)
        offset 0) s
  join wish w
    on w.platform_id = s.platform_id
   and w.official_account = s.official_account
   and w.mini_program = s.mini_program
  join link l
    on l.platform_id = w.platform_id
   and l.official_account = w.official_account
   and l.mini_program = w.mini_program
  join merchant mp
    on mp.platform_id = w.platform_id
   and mp.appid = w.mini_program
