-- recovery_state.sql: whether a process is reading lost refresh tokens back; and when nobody is, how long until the next
-- may, for tokens that were lost since the last (or at all, when there was none). Null: there are none.
-- $1 platform, $2 seconds between two readings
select coalesce(r.leased_until > clock(), false) as under_way,
       case when r.leased_until is not null or exists (
              select from credential c
               where c.platform_id = p.platform_id
                 and c.lost_reason is not null
                 and c.lost_at is not null
                 and (r.began_at is null or c.lost_at > r.began_at))
            then case when r.leased_until is null
                      then greatest(coalesce(extract(epoch from r.began_at + make_interval(secs => $2) - clock()), 0), 0)
                      else 0 end::float8 end as wait_secs
  from platform p
  left join recovery r
    on r.platform_id = p.platform_id
 where p.platform_id = $1
