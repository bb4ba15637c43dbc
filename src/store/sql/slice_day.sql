-- slice_day.sql: takes calls from a limit a day; no row: the day's count is used up, or the endpoint is closed.
-- $1 platform, $2 endpoint, $3 day of platform time, $4 calls, $5 the limit
insert into day_count as d (platform_id, endpoint, day, used)
select $1, $2, $3, $4::bigint
 where $4::bigint <= $5::bigint
   and not exists (select from closure c
                    where c.platform_id = $1
                      and c.endpoint = $2
                      and c.closed_until > clock())
on conflict (platform_id, endpoint, day) do update
   set used = d.used + excluded.used
 where d.used + excluded.used <= $5::bigint
returning d.used
