-- listing_invites.sql: every wanted pair, with all that decides whether its invitation may be sent now.
-- $1 platform, $2 appids of official accounts or null, $3 rows at most. In the order of claiming, sleeping ones last.
-- The facts are those of intend_items.sql, intend_past.sql, intend_invites_wanted.sql, claim_gated.sql and checks_shut.sql.
select w.official_account as appid,
       w.mini_program as counterpart,
       oa.nickname,
       oa.withdrawn_at is not null as withdrawn,
       coalesce(i.held, false)
         or exists (select from hold h
                     where h.platform_id = $1
                       and h.appid is null
                       and (h.check_name = 'invite' or h.endpoint = 'wxamplink')
                       and (h.until is null or h.until > t.now)) as held,
       case when i.appid is null or l.state is null then 'not_planned'
            when mp.withdrawn_at is not null then 'mini_program_withdrawn'
            when mp.kind not in ('mini_program', 'unknown') then 'not_a_mini_program'
            when not (l.state = 'wanted' or l.state = 'deferred' and l.deferred_until <= t.now) then l.state
            when l.read_at is null or l.read_at <= t.now - interval '25 hours' then 'awaiting_reading'
            when i.outcome = 'skipped' and i.due_at > t.now and i.reason <> 'held' then i.reason end as barred,
       past.last_at,
       coalesce(past.counted, 0) as counted,
       0 as granted,
       nullif(i.due_at, 'infinity') as due_at,
       i.due_at = 'infinity' as dormant,
       coalesce(i.leased_until > t.now, false) as leased,
       case when c.closed_until > t.now + interval '2 min' then c.closed_until end as closed_until,
       case when g.free_at > t.now + interval '1 hour' then nullif(g.free_at, 'infinity') end as limited_until
  from (select clock() as now) t,
       wish w
  join merchant oa on oa.platform_id = w.platform_id and oa.appid = w.official_account
  join merchant mp on mp.platform_id = w.platform_id and mp.appid = w.mini_program
  left join link l
    on l.platform_id = w.platform_id and l.official_account = w.official_account and l.mini_program = w.mini_program
  left join item i
    on i.platform_id = w.platform_id and i.appid = w.official_account and i.check_name = 'invite' and i.counterpart = w.mini_program
  left join item g on g.platform_id = w.platform_id and g.appid = w.official_account and g.check_name = 'links' and g.counterpart = ''
  left join closure c on c.platform_id = w.platform_id and c.endpoint = 'wxamplink'
  left join lateral (
       select max(p.made_at) as last_at,
              count(*) as counted
         from intent p
        where p.platform_id = w.platform_id
          and p.appid = w.official_account
          and p.purpose = 'invite'
          and p.counterpart = w.mini_program
          and p.outcome <> 'not_made') past on true
 where w.platform_id = $1
   and ($2::text[] is null or w.official_account = any ($2))
 order by i.due_at nulls last, w.official_account, w.mini_program
 limit $3
