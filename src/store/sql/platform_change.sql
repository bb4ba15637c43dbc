-- platform_change.sql: changes what is given, and nothing when it is so already. The row is locked (platform_lock.sql).
-- $1 platform, $2 nickname ('' = none), $3 secret, $4 event token, $5 event key, each sealed, $6 whether $7 is given,
-- $7 schedules (null = all). A null among $2 to $5 leaves what is there.
update platform p
   set nickname           = case when $2::text is null then p.nickname else nullif($2, '') end,
       secret_sealed      = coalesce($3, p.secret_sealed),
       event_token_sealed = coalesce($4, p.event_token_sealed),
       event_key_sealed   = coalesce($5, p.event_key_sealed),
       schedules          = case when $6 then $7 else p.schedules end
 where p.platform_id = $1
   and ($2::text is not null and nullif($2, '') is distinct from p.nickname
        or $3::bytea is not null
        or $4::bytea is not null
        or $5::bytea is not null
        or $6 and $7::text[] is distinct from p.schedules)
