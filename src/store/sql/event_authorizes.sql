-- event_authorizes.sql: a merchant authorized the platform, or changed what it grants: it is known, not withdrawn, and
-- WeChat will be asked about it.
-- $1 platform, $2 appid, $3 WeChat's CreateTime, $4 whether it was authorized before
insert into merchant as m (platform_id, appid, authorized_at, event_at, word_at)
values ($1, $2, $3, $3, clock())
on conflict (platform_id, appid) do update
   set authorized_at = case when $4 and m.withdrawn_at is null then coalesce(m.authorized_at, $3) else $3 end,
       event_at = $3,
       word_at = clock(),
       absent_passes = 0,
       withdrawn_at = null,
       info_at = null,
       info_tried_at = null,
       plan_stale = m.plan_stale or m.withdrawn_at is not null
