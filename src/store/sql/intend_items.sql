-- intend_items.sql: the leased items before their messages, locked in key order, with everything that could forbid a message.
-- $1 platform, $2 check, $3 process, $4 the check's endpoint, $5 the call's length in seconds, arrays in key order: $6 appid,
-- $7 counterpart, $8 fence. Answers with ordinals; one that is missing has lost its lease, or it ends before the call would.
-- Lease and fence stand in one case, which the planner does not estimate (see record.sql).
with moment as materialized (
  select clock() as now
)
select s.ordinal,
       m.now,
       merchant.withdrawn_at is not null as withdrawn,
       exists (select from hold h
                where h.platform_id = i.platform_id
                  and h.schedule is null
                  and (h.until is null or h.until > m.now)
                  and (h.appid is null or h.appid = i.appid)
                  and (h.check_name is null or h.check_name = i.check_name)
                  and (h.endpoint is null or h.endpoint = $4)) as held
  from moment m,
       (select $1::int as platform_id, $2::text as check_name, u.*
          from unnest($6::text[], $7::text[], $8::bigint[]) with ordinality
                 as u (appid, counterpart, fence, ordinal)
        offset 0) s
  join item i
    on i.platform_id = s.platform_id
   and i.appid = s.appid
   and i.check_name = s.check_name
   and i.counterpart = s.counterpart
  join merchant
    on merchant.platform_id = i.platform_id
   and merchant.appid = i.appid
 where case when i.leased_by = $3
            then i.fence = s.fence and i.leased_until > m.now + make_interval(secs => $5)
            else false end
 order by s.ordinal
   for update of i
