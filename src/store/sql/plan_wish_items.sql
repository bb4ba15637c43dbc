-- plan_wish_items.sql: the items of wanted pairs: one reading for each official account, one invitation for each pair.
-- The reading is due at once; the invitation sleeps until a reading shows that the pair is not there.
-- $1 platform, $2 whether messages to new pairs wait for an operator, arrays: $3 official account, $4 mini program,
-- $5 barred (null: go on), $6 whether an operator gave word
with said as materialized (
  select s.official_account, s.mini_program, s.barred, s.word_given, m.now
    from (select clock() as now) m,
         unnest($3::text[], $4::text[], $5::text[], $6::boolean[])
           as s (official_account, mini_program, barred, word_given)
), items as materialized (
  select s.official_account as appid, 'links' as check_name, '' as counterpart, s.now,
         case when bool_and(s.barred is not null and s.barred not in ('mini_program_withdrawn', 'not_a_mini_program'))
              then min(s.barred) end as barred,
         bool_or(s.word_given) as word_given
    from said s
   group by s.official_account, s.now
   union all
  select s.official_account, 'invite', s.mini_program, s.now, s.barred, s.word_given
    from said s
), planned as (
  insert into item as i (platform_id, appid, check_name, counterpart, due_at, due_since, held, outcome, reason, recorded_at)
  select $1, t.appid, t.check_name, t.counterpart,
         case when t.barred is null and t.check_name = 'links' then t.now else 'infinity' end,
         case when t.barred is null and t.check_name = 'links' then t.now else 'infinity' end,
         exists (select from hold h
                  where h.platform_id = $1
                    and h.appid = t.appid
                    and (h.check_name is null or h.check_name = t.check_name)),
         case when t.barred is not null or t.check_name = 'invite' then 'skipped' end,
         coalesce(t.barred, case when t.check_name = 'invite' then 'awaiting_reading' end),
         case when t.barred is not null then t.now end
    from items t
   order by t.appid, t.check_name, t.counterpart
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
         fence = i.fence + case when excluded.reason is null or excluded.reason = 'awaiting_reading' then 0 else 1 end,
         leased_by = case when excluded.reason is null or excluded.reason = 'awaiting_reading' then i.leased_by end,
         leased_until = case when excluded.reason is null or excluded.reason = 'awaiting_reading' then i.leased_until end
   where (excluded.reason is not null and excluded.reason <> 'awaiting_reading'
          or i.reason in ('withdrawn', 'mini_program_withdrawn', 'not_an_official_account', 'not_a_mini_program',
                          'account_status', 'permission', 'token_lost', 'token_recovering')
          or (select bool_or(t.word_given) from items t
               where t.appid = i.appid and t.check_name = i.check_name and t.counterpart = i.counterpart)
             and i.outcome is distinct from 'deferred'
          -- An invitation whose bar is lifted waits for a reading: where the account was not barred with it, it is read again.
          or i.check_name = 'links'
             and excluded.reason is null
             and exists (select from items t
                           join item o
                             on o.platform_id = i.platform_id
                            and o.appid = t.appid
                            and o.check_name = t.check_name
                            and o.counterpart = t.counterpart
                          where t.appid = i.appid
                            and t.check_name = 'invite'
                            and t.barred is null
                            and o.reason in ('withdrawn', 'mini_program_withdrawn', 'not_an_official_account', 'not_a_mini_program',
                                             'account_status', 'permission', 'token_lost', 'token_recovering')))
     and (i.leased_by is null
          or excluded.reason is not null and excluded.reason <> 'awaiting_reading')
  returning i.appid, i.check_name
)
insert into hold (platform_id, appid, check_name, reason, created_by)
select distinct $1::int, p.appid, p.check_name, 'new pair', 'wxpatrol'
  from planned p
 where $2
   and p.check_name = 'invite'
   -- Another pair of an account that is invited for already is nothing new: what an operator resumed goes on.
   and not exists (select from item o
                    where o.platform_id = $1
                      and o.appid = p.appid
                      and o.check_name = 'invite')
   and not exists (select from hold h
                    where h.platform_id = $1
                      and h.appid = p.appid
                      and h.check_name = 'invite')
