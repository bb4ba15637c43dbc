-- schedule_known.sql: the mark of a schedule, up to which its ticks are decided on.
-- $1 platform, $2 schedule, $3 its cadence with the zone
-- The first time it is the newest tick that has a row, or now. A changed cadence begins anew, now.
insert into schedule as s (platform_id, schedule, cadence, heard_until)
select $1, $2, $3, coalesce((select max(r.fire_at) from run r where r.platform_id = $1 and r.schedule = $2), clock())
on conflict (platform_id, schedule) do update
   set cadence = excluded.cadence,
       heard_until = case when s.cadence = excluded.cadence then s.heard_until else greatest(s.heard_until, clock()) end
returning s.heard_until
