-- wishes_want.sql: wishes for pairs; a pair that is wanted already is wanted again: planning acts on the new word.
-- $1 platform, arrays without duplicates: $2 official account, $3 mini program; $4 who wants it
-- Locks the wishes in key order. The time of the first wish stays, because coverage counts by it.
insert into wish as w (platform_id, official_account, mini_program, created_by)
select $1, s.official_account, s.mini_program, $4
  from unnest($2::text[], $3::text[]) as s (official_account, mini_program)
 order by s.official_account collate "C", s.mini_program collate "C"
on conflict (platform_id, official_account, mini_program) do update
   set plan_stale = true,
       word_given = true
returning w.official_account, w.mini_program, w.xmax = 0 as is_new
