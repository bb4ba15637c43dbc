-- callback_changes.sql: one row for each changed field.
-- $1 platform, $2 the reading's time, arrays: $3 appid, $4 field, $5 old value, $6 new value
insert into callback_change (platform_id, appid, changed_at, field, old_value, new_value)
select $1, s.appid, $2, s.field, s.old_value, s.new_value
  from unnest($3::text[], $4::text[], $5::text[], $6::text[]) as s (appid, field, old_value, new_value)
