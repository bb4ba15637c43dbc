-- item_due_again.sql: sets when items are due again, after their record; never earlier work of a holder.
-- $1 platform, $2 check, $3 whether only to bring forward, arrays: $4 appid, $5 due at (null: dormant).
-- The rows are locked already.
update item i
   set due_at = case when $3 then least(i.due_at, s.due_at) else coalesce(s.due_at, 'infinity') end,
       due_since = case when $3 then least(i.due_since, s.due_at) else coalesce(s.due_at, 'infinity') end
  from (select $1::int as platform_id, u.*
          from unnest($4::text[], $5::timestamptz[]) as u (appid, due_at)
        offset 0) s
 where i.platform_id = s.platform_id
   and i.appid = s.appid
   and i.check_name = $2
   and i.counterpart = ''
   and i.leased_by is null
