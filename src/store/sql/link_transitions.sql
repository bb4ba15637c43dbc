-- link_transitions.sql: every move with its cause.
-- $1 platform, $2 now, $3 run, arrays: $4 official account, $5 mini program, $6 from, $7 to, $8 cause
insert into link_transition (platform_id, official_account, mini_program, moved_at, from_state, to_state, cause, run_id)
select $1, s.official_account, s.mini_program, $2, s.from_state, s.to_state, s.cause, $3
  from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
         as s (official_account, mini_program, from_state, to_state, cause)
