-- closure_close.sql: closes an endpoint for every process until its time, and slows it for ten minutes after.
-- $1 platform, $2 endpoint, $3 closed until, $4 errcode, $5 reason. A longer closure is never shortened.
insert into closure as c (platform_id, endpoint, closed_until, slow_until, since, errcode, reason)
values ($1, $2, $3, $3::timestamptz + interval '10 min', clock(), $4, $5)
on conflict (platform_id, endpoint) do update
   set closed_until = greatest(c.closed_until, excluded.closed_until),
       slow_until = greatest(c.slow_until, excluded.slow_until),
       since = excluded.since,
       errcode = excluded.errcode,
       reason = excluded.reason
