-- plan_links.sql: wanted pairs have a link row, and a first entry in its history.
-- $1 platform, arrays: $2 official account, $3 mini program
with added as (
  insert into link (platform_id, official_account, mini_program, state, since)
  select $1, s.official_account, s.mini_program, 'wanted', clock()
    from unnest($2::text[], $3::text[]) as s (official_account, mini_program)
   order by 2, 3
  on conflict (platform_id, official_account, mini_program) do nothing
  returning platform_id, official_account, mini_program, since
)
insert into link_transition (platform_id, official_account, mini_program, moved_at, from_state, to_state, cause)
select platform_id, official_account, mini_program, since, null, 'wanted', 'an operator wants it'
  from added
