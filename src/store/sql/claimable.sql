-- claimable.sql: whether something of these checks could have been claimed for a while and was not.
-- $1 platform, $2 checks, $3 the while in seconds, $4 for each check its gate, the check whose row carries the merchant's limit, or
-- null, $5 for each the seconds from call to call of one merchant, which what a dead process held waits for after its lease.
-- Served by item_due, then item's primary key. The ten thousand longest due of each check are looked at: all of them barred by their
-- gates, nobody can tell of the others, and nothing is said.
with moment as materialized (
  select clock() - make_interval(secs => $3) as since
)
select exists (
  select
    from unnest($2::text[], $4::text[], $5::float8[]) as c (check_name, gate, apart)
   cross join lateral (
         select i.appid
           from item i
          where i.platform_id = $1
            and i.check_name = c.check_name
            and not i.held
            and i.due_at < 'infinity'
            and i.due_at <= (select m.since from moment m)
            and i.free_at <= (select m.since from moment m)
            and (i.leased_until is null or i.leased_until <= (select m.since from moment m) - make_interval(secs => c.apart))
          order by i.due_at, i.appid, i.counterpart
          limit 10000) d
    left join item g
      on g.platform_id = $1
     and g.appid = d.appid
     and g.check_name = c.gate
     and g.counterpart = ''
   where c.gate is null
      or (g.free_at <= (select m.since from moment m)
          and (g.leased_until is null or g.leased_until <= (select m.since from moment m) - make_interval(secs => c.apart))))
