-- plan_wishes_stale.sql: wishes that planning must look at, locked, with what is known about both sides.
-- $1 platform, $2 wishes at most, $3 the permission sets that the official account must have granted one of, $4 official
-- account and $5 mini program of the wish behind which to begin (two empty texts: with the first): what stands before it was
-- just planned, and is still in the index. Served by wish_to_plan.
select w.official_account, w.mini_program, w.word_given,
       case when oa.withdrawn_at is not null then 'withdrawn'
            when mp.withdrawn_at is not null then 'mini_program_withdrawn'
            when oa.kind not in ('official_account', 'unknown') then 'not_an_official_account'
            when mp.kind not in ('mini_program', 'unknown') then 'not_a_mini_program'
            when oa.account_status not in (1, 18) then 'account_status'
            when not oa.permission_sets && $3::int[] then 'permission' end as barred
  from wish w
  join merchant oa on oa.platform_id = w.platform_id and oa.appid = w.official_account
  join merchant mp on mp.platform_id = w.platform_id and mp.appid = w.mini_program
 where w.platform_id = $1
   and w.plan_stale
   and (w.official_account, w.mini_program) > ($4, $5)
 order by w.official_account, w.mini_program
 limit $2
   for update of w
