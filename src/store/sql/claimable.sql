-- claimable.sql: whether something of these checks could have been claimed for a while and was not.
-- $1 platform, $2 checks, $3 the while in seconds. Served by item_due.
with moment as materialized (
  select clock() as now
)
select exists (
  select
    from moment m,
         item i
   where i.platform_id = $1
     and i.check_name = any ($2)
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at <= m.now - make_interval(secs => $3)
     and i.free_at <= m.now - make_interval(secs => $3)
     and (i.leased_until is null or i.leased_until <= m.now - make_interval(secs => $3)))
