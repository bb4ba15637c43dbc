-- claim_merchants.sql: as claim.sql, for a few merchants by name.
-- $1 platform, $2 check, $3 items at most, $4 lease in seconds, $5 process, $6 appids, $7 only what lost its process so
-- many times in a row (as in claim.sql), $8 seconds from call to call of one merchant: what was leased by a process that died
-- waits for them after its lease.
-- Locks the chosen item rows and skips those that another process is claiming. Served by item's primary key.
-- A row that was just locked stays where it is: the update reaches it by its place.
-- Answers with one row of lists, or with none.
with moment as materialized (
  select clock() as now
), due as materialized (
  select i.ctid as place, i.platform_id, i.appid
    from item i
   where i.platform_id = $1
     and i.appid = any ($6)
     and i.check_name = $2
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at <= (select now from moment)
     and i.free_at <= (select now from moment)
     and (i.leased_until is null or i.leased_until <= (select now - make_interval(secs => $8) from moment))
     and case $7::int when 1 then i.abandoned + (i.leased_by is not null)::int <= 1
                       when 4 then i.abandoned + (i.leased_by is not null)::int >= 4
                       else i.abandoned + (i.leased_by is not null)::int = $7 end
   order by i.due_at, i.appid, i.counterpart
   limit $3
     for no key update skip locked
), leased as (
  update item i
     set leased_until = m.now + make_interval(secs => $4),
         leased_by = $5,
         fence = i.fence + 1,
         abandoned = i.abandoned + (i.leased_by is not null)::int
    from moment m,
         due d
         left join credential c
           on c.platform_id = d.platform_id
          and c.appid = d.appid
          and c.access_sealed is not null
   where i.ctid = d.place
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
