-- checks_shut.sql: checks that can do nothing for more than two minutes, why, and until when (null: by an operator).
-- $1 platform, arrays: $2 check, $3 its endpoint
select s.check_name,
       case when h.hold_id is not null then 'held' else 'endpoint_closed' end as reason,
       h.hold_id is not null as held,
       case when h.hold_id is not null then h.until else c.closed_until end as until
  from unnest($2::text[], $3::text[]) as s (check_name, endpoint)
  left join lateral (
       select h.hold_id, h.until
         from hold h
        where h.platform_id = $1
          and h.appid is null
          and (h.check_name = s.check_name or h.endpoint = s.endpoint)
          and (h.until is null or h.until > clock())
        order by h.until desc nulls first
        limit 1) h on true
  left join closure c
    on c.platform_id = $1
   and c.endpoint = s.endpoint
   and c.closed_until > clock() + interval '2 min'
 where h.hold_id is not null
    or c.closed_until is not null
