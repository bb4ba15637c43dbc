-- run_follow.sql: the work that a halted run left is taken up by another run of its schedule, which waits until the platform
-- works: for each schedule whose newest run ended as halted. A tick that waits already takes it up as well. A sync, which has no
-- checks, is followed by the next one: it leaves no work of merchants, and may itself be what tries the platform.
-- $1 platform. Its instant is the end of the halted run, so that of all processes one inserts it. Served by a_tick_runs_once.
insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, state, reason, buffered_at, follows)
select gen_random_uuid(), n.platform_id, n.schedule, n.ended_at, n.checks, m.now, m.now + (n.deadline_at - n.started_at),
       'buffered', 'halted: takes up what run ' || n.run_id || ' left, when the platform works again', m.now,
       n.run_id
  from schedule s
 cross join (select clock() as now) m
 cross join lateral (
       select r.*
         from run r
        where r.platform_id = s.platform_id
          and r.schedule = s.schedule
          and r.state not in ('skipped', 'missed')
        order by r.fire_at desc
        limit 1) n
 where s.platform_id = $1
   and n.state = 'halted'
   and cardinality(n.checks) > 0
on conflict (platform_id, schedule, fire_at) do nothing
