-- intend_past.sql: the messages that this subject has had. A bound phone starts the count afresh, never the cool-down.
-- $1 platform, $2 appid, $3 purpose, $4 counterpart. The item row is locked, so nobody adds one meanwhile.
select max(t.number) as number,
       max(t.made_at) filter (where t.outcome <> 'not_made') as last_at,
       count(*) filter (where t.outcome <> 'not_made'
                          and t.made_at > coalesce(p.bound_at, '-infinity')) as counted,
       coalesce((array_agg(t.outcome order by t.number desc))[1] = 'unknown', false) as lost
  from intent t
  left join phone p
    on p.platform_id = t.platform_id
   and p.appid = t.appid
   and t.purpose = 'ask'
 where t.platform_id = $1
   and t.appid = $2
   and t.purpose = $3
   and t.counterpart = $4
