-- plan_merchants.sql: gives changed merchants their items, and answers how many merchants it looked at and the last of them.
-- $1 platform, $2 merchants at most, $3 whether messages to new merchants wait for an operator, then the checks that
-- are done for each mini program: $4 check, $5 permission sets as '49,64', $6 whether it sleeps until a reading wakes it,
-- $7 the appid behind which to begin ('': with the first). What stands before it was just planned, and has left a dead entry
-- in the index for each: those a later batch would step over again and again, all the more while some old transaction (a
-- backup) sees them.
-- Locks the merchants it looks at, and the wishes of each, also one that is to be planned as it is: whoever plans it now has not
-- seen what changed here, and is waited for. Served by merchant_to_plan. A leased item of a merchant that is barred loses its lease: its
-- answer is dropped.
with moment as materialized (
  select clock() as now
), stale as materialized (
  select m.platform_id, m.appid, m.kind, m.withdrawn_at, m.account_status, m.permission_sets
    from merchant m
   where m.platform_id = $1
     and m.plan_stale
     and m.appid > $7
   order by m.appid
   limit $2
     for no key update
), rule as materialized (
  select r.check_name, string_to_array(r.sets, ',')::int[] as sets, r.sleeps
    from unnest($4::text[], $5::text[], $6::boolean[]) as r (check_name, sets, sleeps)
), intended as materialized (
  select s.platform_id, s.appid, r.check_name, r.sleeps,
         case when s.withdrawn_at is not null then 'withdrawn'
              when s.account_status not in (1, 18) then 'account_status'
              when not s.permission_sets && r.sets then 'permission' end as barred
    from stale s
   cross join rule r
   where s.kind = 'mini_program'
), foreign_items as (
  delete from item i
   using stale s, rule r
   where s.kind <> 'mini_program'
     and i.platform_id = s.platform_id
     and i.appid = s.appid
     and i.check_name = r.check_name
), planned as (
  insert into item as i (platform_id, appid, check_name, due_at, due_since, held, outcome, reason, recorded_at)
  select p.platform_id, p.appid, p.check_name,
         case when p.barred is null and not p.sleeps then m.now else 'infinity' end,
         case when p.barred is null and not p.sleeps then m.now else 'infinity' end,
         exists (select from hold h
                  where h.platform_id = p.platform_id
                    and h.appid = p.appid
                    and (h.check_name is null or h.check_name = p.check_name)),
         case when p.barred is not null or p.sleeps then 'skipped' end,
         coalesce(p.barred, case when p.sleeps then 'phone_not_missing' end),
         case when p.barred is not null then m.now end
    from intended p, moment m
   order by p.platform_id, p.appid, p.check_name
  on conflict (platform_id, appid, check_name, counterpart) do update
     set due_at = excluded.due_at,
         due_since = excluded.due_since,
         outcome = excluded.outcome,
         reason = excluded.reason,
         -- The same bar as before is the same trouble, since the same day.
         recorded_at = case when i.outcome = 'skipped' and i.reason = excluded.reason then i.recorded_at
                            else coalesce(excluded.recorded_at, i.recorded_at) end,
         attempts = 0,
         class = null,
         errcode = null,
         rid = null,
         fence = i.fence + 1,
         leased_by = null,
         leased_until = null,
         abandoned = 0
   where excluded.reason in ('withdrawn', 'account_status', 'permission')
      or i.reason in ('withdrawn', 'account_status', 'permission', 'token_lost', 'token_recovering')
      -- An ask whose bar is lifted sleeps until a reading wakes it: where the phone was not barred with it, it is read again.
      or i.check_name = 'phone'
     and excluded.reason is null
     and i.leased_by is null
     and exists (select from item a
                  where a.platform_id = i.platform_id
                    and a.appid = i.appid
                    and a.check_name = 'ask'
                    and a.counterpart = ''
                    and a.reason in ('withdrawn', 'account_status', 'permission', 'token_lost', 'token_recovering'))
  returning i.platform_id, i.appid, i.check_name, i.fence
), newly_held as (
  insert into hold (platform_id, appid, check_name, reason, created_by)
  select p.platform_id, p.appid, p.check_name, 'new merchant', 'wxpatrol'
    from planned p
   where $3
     and p.check_name = 'ask'
     and p.fence = 0
), wished as (
  select w.platform_id, w.official_account, w.mini_program
    from stale s
    join wish w on w.platform_id = s.platform_id and w.official_account = s.appid
   union
  select w.platform_id, w.official_account, w.mini_program
    from stale s
    join wish w on w.platform_id = s.platform_id and w.mini_program = s.appid
), wishes as (
  update wish w
     set plan_stale = true
    from wished d
   where w.platform_id = d.platform_id
     and w.official_account = d.official_account
     and w.mini_program = d.mini_program
), looked_at as (
  update merchant m
     set plan_stale = false
    from stale s
   where m.platform_id = s.platform_id
     and m.appid = s.appid
)
select count(*), max(appid) from stale
