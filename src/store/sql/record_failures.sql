-- record_failures.sql: keeps failed calls for the days in which WeChat answers about their rid.
-- $1 platform, $2 run, arrays: $3 appid, $4 check, $5 counterpart, $6 endpoint, $7 class, $8 errcode, $9 rid,
-- $10 latency in milliseconds, $11 detail
insert into failure (platform_id, appid, failed_at, check_name, counterpart, endpoint, class, errcode, rid, latency_ms, detail, run_id)
select $1, s.appid, clock(), s.check_name, s.counterpart, s.endpoint, s.class, s.errcode, s.rid, s.latency_ms, s.detail, $2
  from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::int[], $11::text[])
         as s (appid, check_name, counterpart, endpoint, class, errcode, rid, latency_ms, detail)
