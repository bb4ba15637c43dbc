-- record_lock.sql: locks items in key order, before a record that may write one by another.
-- $1 platform, arrays: $2 appid, $3 check, $4 counterpart (null: every one). Locks every item found, in primary key order, so
-- that two records, or a record and planning, never cross.
select 1
  from (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[], $4::text[])
                 as u (appid, check_name, counterpart)
        offset 0) s
  join item i
    on i.platform_id = s.platform_id
   and i.appid = s.appid
   and i.check_name = s.check_name
   and (s.counterpart is null or i.counterpart = s.counterpart)
 order by i.platform_id, i.appid, i.check_name, i.counterpart
   for no key update of i
