-- recovery_state.sql: whether a process is reading lost refresh tokens back; and when nobody is, how long until the next
-- may, for tokens that no complete reading has looked for since they were lost. Null: there are none. A reading waits for the
-- time between two, and three times as long as the last one took; a merchant whose tokens were refused again and again waits
-- for an hour. `failed`: the last one came to no end.
-- $1 platform, $2 seconds between two readings. Served by credential_lost.
select coalesce(r.leased_until > clock(), false) as under_way,
       r.leased_until is null and r.began_at is not null and coalesce(r.complete_at < r.began_at, true) as failed,
       case when r.leased_until is not null then 0
            else (select min(greatest(extract(epoch from
                           greatest(r.began_at + make_interval(secs => $2),
                                    r.ended_at + 3 * (r.ended_at - r.began_at),
                                    case when c.losses > 3 then r.began_at + interval '1 h' end) - clock()), 0))
                    from credential c
                   where c.platform_id = p.platform_id
                     and c.lost_reason is not null
                     and c.lost_at is not null
                     and c.lost_at > coalesce(r.complete_at, '-infinity')) end::float8 as wait_secs
  from platform p
  left join recovery r
    on r.platform_id = p.platform_id
 where p.platform_id = $1
