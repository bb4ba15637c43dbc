-- recovery_state.sql: whether a process is reading lost refresh tokens back; and when nobody is, how long until the next
-- may, for tokens that were lost since the last. Null: there are none.
-- $1 platform, $2 seconds between two readings
select coalesce(r.leased_until > clock(), false) as under_way,
       case when exists (select from credential c
                          where c.platform_id = r.platform_id
                            and c.lost_reason is not null
                            and c.lost_at > r.began_at)
            then greatest(extract(epoch from r.began_at + make_interval(secs => $2) - clock()), 0)::float8 end as wait_secs
  from recovery r
 where r.platform_id = $1
