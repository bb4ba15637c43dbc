-- intend_past.sql: the messages that subjects have had. A bound phone starts the count afresh, never the cool-down.
-- $1 platform, $2 purpose, arrays: $3 appid, $4 counterpart. One row for each, in their order. The item rows are locked, so
-- nobody adds one meanwhile.
-- An invitation is unsettled while its pair has not heard of it: its process died between the intent and the record.
select past.number, past.last_at, past.counted, past.unsettled
  from unnest($3::text[], $4::text[]) with ordinality as s (appid, counterpart, ordinal)
 cross join lateral (
       select max(t.number) as number,
              max(t.made_at) filter (where t.outcome <> 'not_made') as last_at,
              count(*) filter (where t.outcome <> 'not_made'
                                 and t.made_at > coalesce(p.bound_at, '-infinity')) as counted,
              coalesce(bool_or(t.outcome = 'unknown'
                               and t.purpose = 'invite'
                               and t.made_at > coalesce(l.invited_at, '-infinity')), false) as unsettled
         from intent t
         left join phone p
           on p.platform_id = t.platform_id
          and p.appid = t.appid
          and t.purpose = 'ask'
         left join link l
           on l.platform_id = t.platform_id
          and l.official_account = t.appid
          and l.mini_program = t.counterpart
          and t.purpose = 'invite'
        where t.platform_id = $1
          and t.appid = s.appid
          and t.purpose = $2
          and t.counterpart = s.counterpart) past
 order by s.ordinal
