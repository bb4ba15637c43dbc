-- invite_items_follow.sql: invitation items follow the state of their pair after a reading or an operator's word.
-- $1 platform, $2 now, arrays: $3 official account, $4 mini program, $5 outcome (null: to be sent), $6 reason,
-- $7 due at (null: dormant). The rows are locked already; leased ones are left to their holder.
update item i
   set due_at = coalesce(s.due_at, 'infinity'),
       due_since = coalesce(s.due_at, 'infinity'),
       outcome = s.outcome,
       reason = s.reason,
       class = null,
       errcode = null,
       attempts = 0,
       recorded_at = case when s.outcome is null then i.recorded_at else $2 end,
       done_at = case when s.outcome = 'done' then $2 else i.done_at end
  from (select $1::int as platform_id, u.*
          from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
                 as u (official_account, mini_program, outcome, reason, due_at)
        offset 0) s
 where i.platform_id = s.platform_id
   and i.appid = s.official_account
   and i.check_name = 'invite'
   and i.counterpart = s.mini_program
   and i.leased_by is null
   and not (s.outcome is null and i.due_at < 'infinity')
   -- What planning bars sleeps until planning lifts the bar, whatever a reading says of the pair.
   and not ((s.outcome is null or s.outcome = 'deferred')
            and i.outcome = 'skipped'
            and i.reason in ('withdrawn', 'mini_program_withdrawn', 'not_an_official_account', 'not_a_mini_program',
                             'account_status', 'permission'))
