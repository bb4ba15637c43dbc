-- claim.sql: leases the most overdue items of one check, with the merchants' stored tokens.
-- $1 platform, $2 check, $3 items at most, $4 lease in seconds, $5 process, $6 appids or null, $7 only what lost its process so
-- many times in a row (1: or less, 2, 3, 4: or more), in a case, which the planner does not estimate, $8 seconds from call to call
-- of one merchant: what was leased by a process that died may have been called last, and waits for them after its lease,
-- $9 due at, $10 appid and $11 counterpart of the item behind which to begin (null and two empty texts: with the first).
-- What stands before it was just claimed by this process: leased still, or recorded and due elsewhere, with a dead entry in the
-- index for each. Those a later claim would read again and again, for as long as some old transaction (a backup) sees them.
-- Locks the chosen item rows and skips those that another process is claiming. Served by item_due, for a few merchants by
-- item's primary key: planned with its parameters (begin_by_key.sql), so that a condition on null is none.
-- A row that was just locked stays where it is: the update reaches it by its place, without another look into an index.
-- One that was rewritten after the statement began is not seen there, and is left to the next claim.
-- Answers with one row of lists, or with none.
with moment as materialized (
  select clock() as now
), due as materialized (
  select i.ctid as place, i.platform_id, i.appid
    from item i
   where i.platform_id = $1
     and i.check_name = $2
     and ($6::text[] is null or i.appid = any ($6))
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at <= (select now from moment)
     and i.free_at <= (select now from moment)
     and (i.leased_until is null or i.leased_until <= (select now - make_interval(secs => $8) from moment))
     and case $7::int when 1 then i.abandoned + (i.leased_by is not null)::int <= 1
                       when 4 then i.abandoned + (i.leased_by is not null)::int >= 4
                       else i.abandoned + (i.leased_by is not null)::int = $7 end
     and (i.due_at, i.appid, i.counterpart) > (coalesce($9::timestamptz, '-infinity'), $10::text, $11::text)
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
            c.version,
            i.due_at
)
select (select now from moment) as now,
       array_agg(appid) as appid,
       array_agg(counterpart) as counterpart,
       array_agg(fence) as fence,
       array_agg(attempts) as attempts,
       array_agg(slowed) as slowed,
       array_agg(access_sealed) as access_sealed,
       array_agg(good_for_secs) as good_for_secs,
       array_agg(version) as version,
       array_agg(due_at) as due_at
  from leased
having count(*) > 0
