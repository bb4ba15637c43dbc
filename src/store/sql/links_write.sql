-- links_write.sql: writes moved or newly read pairs; the rows are locked already.
-- $1 platform, $2 now, arrays: $3 official account, $4 mini program, $5 state, $6 since, $7 invited at,
-- $8 confirmed, $9 absent readings, $10 errcode, $11 reason, $12 deferred until, $13 whether it was read, $14 whether it was read with a
-- status that nobody knows, so that no reading shows that it is not there (intend_invites_wanted.sql)
update link l
   set state = s.state,
       since = s.since,
       invited_at = s.invited_at,
       invite_confirmed = s.confirmed,
       absent_readings = s.absent_readings,
       errcode = s.errcode,
       reason = s.reason,
       deferred_until = s.deferred_until,
       read_at = case when s.unnamed then null when s.was_read then $2 else l.read_at end
  from (select $1::int as platform_id, u.*
          from unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::boolean[], $9::smallint[],
                      $10::bigint[], $11::text[], $12::timestamptz[], $13::boolean[], $14::boolean[])
                 as u (official_account, mini_program, state, since, invited_at, confirmed, absent_readings, errcode, reason,
                       deferred_until, was_read, unnamed)
        offset 0) s
 where l.platform_id = s.platform_id
   and l.official_account = s.official_account
   and l.mini_program = s.mini_program
