-- record_intents.sql: how intents ended. Not fenced: what WeChat answered is true whoever holds the lease now.
-- $1 platform, arrays: $2 purpose, $3 appid, $4 counterpart, $5 number, $6 outcome, $7 errcode
with moment as materialized (
  select clock() as now
)
update intent t
   set outcome = s.outcome,
       errcode = s.errcode,
       settled_at = m.now
  from moment m,
       (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::bigint[])
                 as u (purpose, appid, counterpart, number, outcome, errcode)
        offset 0) s
 where t.platform_id = s.platform_id
   and t.appid = s.appid
   and t.purpose = s.purpose
   and t.counterpart = s.counterpart
   and t.number = s.number
   and t.outcome = 'unknown'
