-- listing_asks.sql: every mini program whose phone is missing, with all that decides whether it may be asked now.
-- $1 platform, $2 appids or null, $3 rows at most. In the order of claiming, sleeping ones last.
-- The facts are those of intend_items.sql, intend_past.sql, intend_asks_wanted.sql, claim_gated.sql and checks_shut.sql; an ask at
-- a maximum that was raised wakes when a run begins (asks_below_maximum.sql).
select f.appid,
       '' as counterpart,
       m.nickname,
       m.withdrawn_at is not null as withdrawn,
       coalesce(i.held, false)
         or exists (select from hold h
                     where h.platform_id = $1
                       and h.appid is null
                       and (h.check_name = 'ask' or h.endpoint = 'checkmobile')
                       and (h.until is null or h.until > t.now)) as held,
       case when i.appid is null then 'not_planned'
            when i.outcome = 'skipped'
             and i.due_at > t.now
             and i.reason not in ('maximum_reached', 'phone_not_missing', 'held') then i.reason end as barred,
       past.last_at,
       coalesce(past.counted, 0) as counted,
       f.asks_granted as granted,
       nullif(i.due_at, 'infinity') as due_at,
       i.due_at = 'infinity' and i.reason is distinct from 'maximum_reached' as dormant,
       coalesce(i.leased_until > t.now, false) as leased,
       case when c.closed_until > t.now + interval '2 min' then c.closed_until end as closed_until,
       case when g.free_at > t.now + interval '1 hour' then nullif(g.free_at, 'infinity') end as limited_until
  from (select clock() as now) t,
       phone f
  join merchant m on m.platform_id = f.platform_id and m.appid = f.appid
  left join item i on i.platform_id = f.platform_id and i.appid = f.appid and i.check_name = 'ask' and i.counterpart = ''
  left join item g on g.platform_id = f.platform_id and g.appid = f.appid and g.check_name = 'phone' and g.counterpart = ''
  left join closure c on c.platform_id = f.platform_id and c.endpoint = 'checkmobile'
  left join lateral (
       select max(p.made_at) as last_at,
              count(*) filter (where p.made_at > coalesce(f.bound_at, '-infinity')) as counted
         from intent p
        where p.platform_id = f.platform_id
          and p.appid = f.appid
          and p.purpose = 'ask'
          and p.outcome <> 'not_made') past on true
 where f.platform_id = $1
   and f.state = 'missing'
   and ($2::text[] is null or f.appid = any ($2))
 order by i.due_at nulls last, f.appid
 limit $3
