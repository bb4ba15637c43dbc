-- record_gates.sql: after a message, the next one to the same merchant waits for the merchant's limit.
-- $1 platform, arrays: $2 appid, $3 the gate's check, $4 free at. The rows are locked already (record_lock.sql).
update item g
   set free_at = s.free_at
  from (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[], $4::timestamptz[])
                 as u (appid, check_name, free_at)
        offset 0) s
 where g.platform_id = s.platform_id
   and g.appid = s.appid
   and g.check_name = s.check_name
   and g.counterpart = ''
