-- platform_limits_set.sql: limits of one platform's own; one that is so already is left alone.
-- $1 platform, arrays: $2 endpoint, $3 whether it is each merchant's, $4 limit
insert into platform_limit as l (platform_id, endpoint, per_merchant, limit_text)
select $1, s.endpoint, s.per_merchant, s.limit_text
  from unnest($2::text[], $3::boolean[], $4::text[]) as s (endpoint, per_merchant, limit_text)
 order by s.endpoint collate "C", s.per_merchant
on conflict (platform_id, endpoint, per_merchant) do update
   set limit_text = excluded.limit_text
 where l.limit_text <> excluded.limit_text
