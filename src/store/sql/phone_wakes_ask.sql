-- phone_wakes_ask.sql: the asks that follow from readings of phones.
-- $1 platform, arrays: $2 appid, $3 state. A missing phone wakes an ask that slept because no phone was known to be
-- missing; a cool-down or a reached maximum is left alone. A bound phone puts the ask to sleep.
-- The ask rows of missing phones are locked already (record_lock.sql); leased ones are left to their holder.
with moment as materialized (
  select clock() as now
)
update item i
   set due_at    = case when s.state = 'missing' then m.now else 'infinity' end,
       due_since = case when s.state = 'missing' then m.now else 'infinity' end,
       outcome   = case when s.state = 'missing' then null else 'skipped' end,
       reason    = case when s.state = 'missing' then null else 'phone_not_missing' end,
       attempts  = 0
  from moment m,
       unnest($2::text[], $3::text[]) as s (appid, state)
 where i.platform_id = $1
   and i.appid = s.appid
   and i.check_name = 'ask'
   and i.counterpart = ''
   and i.leased_by is null
   and case when s.state = 'missing' then i.due_at = 'infinity' and (i.reason is null or i.reason = 'phone_not_missing')
            else i.due_at < 'infinity' or i.reason = 'maximum_reached' end
