-- callback_open.sql: opens new intervals.
-- $1 platform, $2 the reading's time, arrays: $3 appid, $4 state, $5 digest, $6 config as JSON
insert into callback_snapshot (platform_id, appid, valid_from, state, digest, config)
select $1, s.appid, $2, s.state, s.digest, s.config::jsonb
  from unnest($3::text[], $4::text[], $5::bytea[], $6::text[]) as s (appid, state, digest, config)
