-- limits_tell.sql: what this process is set to, for the others and for the view. May be repeated.
-- $1 platform, $2 process, arrays: $3 endpoint, $4 setting, $5 seconds from call to call (0: no rate), $6 calls a day,
-- $7 shadow, $8 setting for one merchant, $9 seconds from call to call of one merchant (0: no limit)
insert into limit_setting as l (platform_id, process_id, endpoint, setting, interval_secs, per_day, shadow, merchant_setting,
                                merchant_interval_secs, told_at)
select $1, $2, s.endpoint, s.setting, s.interval_secs, s.per_day, s.shadow, s.merchant_setting, s.merchant_interval_secs, m.now
  from (select clock() as now) m,
       unnest($3::text[], $4::text[], $5::float8[], $6::bigint[], $7::boolean[], $8::text[], $9::float8[])
         as s (endpoint, setting, interval_secs, per_day, shadow, merchant_setting, merchant_interval_secs)
 order by s.endpoint
on conflict (platform_id, endpoint, process_id) do update
   set setting = excluded.setting,
       interval_secs = excluded.interval_secs,
       per_day = excluded.per_day,
       shadow = excluded.shadow,
       merchant_setting = excluded.merchant_setting,
       merchant_interval_secs = excluded.merchant_interval_secs,
       told_at = excluded.told_at
