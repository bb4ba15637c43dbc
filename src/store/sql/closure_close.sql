-- closure_close.sql: closes an endpoint for every process until its time; a limit answer also slows it after that.
-- $1 platform, $2 endpoint, $3 closed until, $4 errcode, $5 reason, $6 whether it is slowed
-- A longer closure is never shortened, and keeps its reason. Slowed means two steps (half the pace) at first, and one step more with
-- each closure that comes before the last one's steps were taken back; see slow_steps. Several processes that hear the same are one.
insert into closure as c (platform_id, endpoint, closed_until, slow_until, since, errcode, reason)
values ($1, $2, $3, $3::timestamptz + case when $6 then interval '20 min' else interval '0' end, clock(), $4, $5)
on conflict (platform_id, endpoint) do update
   set closed_until = greatest(c.closed_until, excluded.closed_until),
       slow_until = greatest(c.slow_until,
                             excluded.closed_until
                             + case when not $6 then 0
                                    when c.closed_until > clock()
                                    then greatest(slow_steps(c.closed_until, c.slow_until, clock()), 2)
                                    else least(greatest(slow_steps(c.closed_until, c.slow_until, clock()) + 1, 2), 4)
                               end * interval '10 min'),
       since = case when c.closed_until > clock() then c.since else excluded.since end,
       errcode = case when excluded.closed_until >= c.closed_until then excluded.errcode else c.errcode end,
       reason = case when excluded.closed_until >= c.closed_until then excluded.reason else c.reason end
