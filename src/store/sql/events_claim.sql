-- events_claim.sql: leases pending events, the longest due first.
-- $1 platform, $2 events at most, $3 lease in seconds
-- Locks the chosen rows and skips those that another process is claiming. Served by authorization_event_due.
with due as materialized (
  select event_id
    from authorization_event
   where platform_id = $1
     and state = 'pending'
     and due_at <= (select clock())
   order by due_at, event_id
   limit $2
     for no key update skip locked
)
update authorization_event e
   set due_at = clock() + make_interval(secs => $3),
       fence = e.fence + 1,
       attempts = e.attempts + 1
  from due d
 where e.event_id = d.event_id
returning e.event_id,
          e.appid,
          e.event_at,
          e.fence,
          e.attempts,
          e.code_sealed,
          coalesce(e.code_expires_at <= clock(), false) as code_dead,
          extract(epoch from clock() - e.received_at)::float8 as age_secs
