-- claim_gated.sql: leases items of a check that messages people, at most one of a merchant.
-- $1 platform, $2 check, $3 items at most, $4 lease in seconds, $5 process, $6 appids or null, $7 only what lost its process so
-- many times in a row (as in claim.sql), $8 seconds from call to call of one merchant: what was leased by a process that died may
-- have been called last, and waits for them, $9 the gate: the reading check of the same merchant, whose row carries the merchant's
-- limit (free_at).
-- Locks the chosen items and their gates, and writes both, so that a claim of the reading and a claim of the message
-- that cross see each other. Served by item_due and item's primary key.
-- Answers with one row of lists, or with none.
with moment as materialized (
  select clock() as now
), front as materialized (
  select i.appid,
         i.counterpart,
         i.due_at
    from item i
    join item g
      on g.platform_id = i.platform_id
     and g.appid = i.appid
     and g.check_name = $9
     and g.counterpart = ''
   where i.platform_id = $1
     and i.check_name = $2
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at <= (select now from moment)
     and i.free_at <= (select now from moment)
     and (i.leased_until is null or i.leased_until <= (select now - make_interval(secs => $8) from moment))
     and case $7::int when 1 then i.abandoned + (i.leased_by is not null)::int <= 1
                       when 4 then i.abandoned + (i.leased_by is not null)::int >= 4
                       else i.abandoned + (i.leased_by is not null)::int = $7 end
     and g.free_at <= (select now from moment)
     and (g.leased_until is null or g.leased_until <= (select now - make_interval(secs => $8) from moment))
     and ($6::text[] is null or i.appid = any ($6))
   order by i.due_at, i.appid, i.counterpart
   limit $3 * 20
), candidate as materialized (
  select f.appid,
         f.counterpart,
         f.due_at,
         row_number() over (partition by f.appid order by f.due_at, f.counterpart) as nth
    from front f
), chosen as materialized (
  select i.platform_id, i.appid, i.check_name, i.counterpart
    from candidate c
    join item i
      on i.platform_id = $1
     and i.appid = c.appid
     and i.check_name = $2
     and i.counterpart = c.counterpart
    join item g
      on g.platform_id = $1
     and g.appid = c.appid
     and g.check_name = $9
     and g.counterpart = ''
   where c.nth = 1
     and not i.held
     and i.due_at <= (select now from moment)
     and (i.leased_until is null or i.leased_until <= (select now - make_interval(secs => $8) from moment))
     and g.free_at <= (select now from moment)
     and (g.leased_until is null or g.leased_until <= (select now - make_interval(secs => $8) from moment))
   order by c.due_at, c.appid
   limit $3
     for update of i, g skip locked
), gate as (
  update item g
     set free_at = m.now + make_interval(secs => $4 + $8)
    from moment m, chosen c
   where g.platform_id = c.platform_id
     and g.appid = c.appid
     and g.check_name = $9
     and g.counterpart = ''
), leased as (
  update item i
     set leased_until = m.now + make_interval(secs => $4),
         leased_by = $5,
         fence = i.fence + 1,
         abandoned = i.abandoned + (i.leased_by is not null)::int
    from moment m,
         chosen d
         left join credential c
           on c.platform_id = d.platform_id
          and c.appid = d.appid
          and c.access_sealed is not null
   where i.platform_id = d.platform_id
     and i.appid = d.appid
     and i.check_name = d.check_name
     and i.counterpart = d.counterpart
  returning i.appid,
            i.counterpart,
            i.fence,
            i.attempts,
            i.slowed,
            c.access_sealed,
            extract(epoch from c.access_expires_at - m.now)::float8 as good_for_secs,
            c.version
)
select (select now from moment) as now,
       array_agg(appid) as appid,
       array_agg(counterpart) as counterpart,
       array_agg(fence) as fence,
       array_agg(attempts) as attempts,
       array_agg(slowed) as slowed,
       array_agg(access_sealed) as access_sealed,
       array_agg(good_for_secs) as good_for_secs,
       array_agg(version) as version
  from leased
having count(*) > 0
