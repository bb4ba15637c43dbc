-- recovery_take.sql: makes this process the one that reads lost refresh tokens back: when nobody is at it, the last time
-- is long enough ago (as recovery_state.sql says), and there is a token that no complete reading has looked for since it was
-- lost (or nobody has looked for a day). Who died at it is followed at once. No row: somebody else, or not yet.
-- $1 platform, $2 seconds between two readings, $3 lease in seconds. Locks the platform's row of recovery.
insert into recovery as r (platform_id, began_at, leased_until)
values ($1, clock(), clock() + make_interval(secs => $3))
on conflict (platform_id) do update
   set began_at = excluded.began_at,
       ended_at = null,
       leased_until = excluded.leased_until
 where r.leased_until <= excluded.began_at
    or r.leased_until is null
   and r.began_at <= excluded.began_at - make_interval(secs => $2)
   and coalesce(r.ended_at + 3 * (r.ended_at - r.began_at) <= excluded.began_at, true)
   and (r.began_at <= excluded.began_at - interval '20 h'
        or exists (select from credential c
                    where c.platform_id = r.platform_id
                      and c.lost_reason is not null
                      and c.lost_at > coalesce(r.complete_at, '-infinity')
                      and (c.losses <= 3 or r.began_at <= excluded.began_at - interval '1 h')))
returning began_at
