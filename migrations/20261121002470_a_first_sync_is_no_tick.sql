-- A sync that waits for no tick (a platform's first) is its own instant: no mark passes it. Half applied: the view is as it was,
-- apply again.

create or replace view wxpatrol.broken_promises as
with moment as materialized (
  select m.now from wxpatrol_data.moment m
), broken (promise, rule, platform_id, subject, since, detail) as (
  -- 1. No item in scope is left out.
  select 1, 'an ended run counts each item of its scope once', r.platform_id, r.run_id::text, r.ended_at,
         format('%s: total %s, buckets %s', c.check_name, c.total, c.done + c.fresh + c.skipped + c.deferred + c.failed)
    from wxpatrol_data.coverage c
    join wxpatrol_data.run r on r.run_id = c.run_id
   where c.total <> c.done + c.fresh + c.skipped + c.deferred + c.failed
  union all
  select 1, 'an ended run has the coverage of each of its checks', r.platform_id, r.run_id::text, r.ended_at, k.check_name
    from wxpatrol_data.run r
   cross join unnest(r.checks) as k (check_name)
   where r.state in ('complete', 'interrupted', 'halted')
     and not exists (select from wxpatrol_data.coverage c where c.run_id = r.run_id and c.check_name = k.check_name)
  union all
  select 1, 'each planned mini program has its items', m.platform_id, m.appid, m.known_at, k.check_name
    from wxpatrol_data.merchant m
   cross join (values ('phone'), ('ask'), ('callback')) as k (check_name)
   where m.kind = 'mini_program'
     and not m.plan_stale
     and not exists (select from wxpatrol_data.item i
                      where i.platform_id = m.platform_id
                        and i.appid = m.appid
                        and i.check_name = k.check_name)
  union all
  select 1, 'each planned wish has its items', w.platform_id, w.official_account, w.wanted_at, k.check_name || ' ' || w.mini_program
    from wxpatrol_data.wish w
   cross join (values ('links'), ('invite')) as k (check_name)
   where not w.plan_stale
     and not exists (select from wxpatrol_data.item i
                      where i.platform_id = w.platform_id
                        and i.appid = w.official_account
                        and i.check_name = k.check_name
                        and (i.check_name = 'links' or i.counterpart = w.mini_program))
  union all
  select 1, 'an item with work left becomes due again', i.platform_id, i.appid, i.recorded_at,
         concat_ws(' ', i.check_name, nullif(i.counterpart, ''), i.outcome, i.reason)
    from wxpatrol_data.item i
   where i.due_at = 'infinity'
     and (i.outcome in ('again', 'deferred') or (i.outcome is null and i.check_name not in ('ask', 'invite')))
  union all
  -- 2. Nobody is messaged twice within the window, and nobody is silently forgotten.
  select 2, 'nobody is asked twice within a day', a.platform_id, a.appid, b.made_at,
         format('ask %s at %s, ask %s at %s', a.number, a.made_at, b.number, b.made_at)
    from wxpatrol_data.intent a
    join wxpatrol_data.intent b
      on b.platform_id = a.platform_id and b.appid = a.appid and b.purpose = a.purpose and b.counterpart = a.counterpart
     and b.number > a.number
   where a.purpose = 'ask'
     and a.outcome <> 'not_made'
     and b.made_at < a.made_at + interval '1 day'
  union all
  select 2, 'nobody is invited again without an operator''s word', a.platform_id, a.appid, b.made_at,
         format('%s: invitation %s at %s, invitation %s at %s', a.counterpart, a.number, a.made_at, b.number, b.made_at)
    from wxpatrol_data.intent a
    join wxpatrol_data.intent b
      on b.platform_id = a.platform_id and b.appid = a.appid and b.purpose = a.purpose and b.counterpart = a.counterpart
     and b.number > a.number
   where a.purpose = 'invite'
     and a.outcome <> 'not_made'
     and not exists (select from wxpatrol_data.link_transition t
                      where t.platform_id = a.platform_id
                        and t.official_account = a.appid
                        and t.mini_program = a.counterpart
                        and t.cause = 'an operator wants it'
                        and t.moved_at between a.made_at and b.made_at)
  union all
  select 2, 'who may not have been messaged stands in attention', t.platform_id, t.appid, t.made_at,
         concat_ws(' ', t.purpose, t.number, nullif(t.counterpart, ''))
    from wxpatrol_data.intent t
    join wxpatrol_data.platform p on p.platform_id = t.platform_id and p.enabled
    left join wxpatrol_data.phone f on t.purpose = 'ask' and f.platform_id = t.platform_id and f.appid = t.appid
    left join wxpatrol_data.link l
      on t.purpose = 'invite' and l.platform_id = t.platform_id and l.official_account = t.appid and l.mini_program = t.counterpart
   where t.outcome = 'unknown'
     and t.deadline_at < (select m.now from moment m)
     and (f.bound_at is null or f.bound_at <= t.made_at)
     and not (l.invited_at is not null and l.invited_at >= t.made_at and l.invite_confirmed)
     and (t.purpose = 'ask'
          or exists (select from wxpatrol_data.wish w
                      where w.platform_id = t.platform_id
                        and w.official_account = t.appid
                        and w.mini_program = t.counterpart))
     and not exists (select from wxpatrol.attention a
                      where a.platform = p.component_appid
                        and a.subject = t.appid
                        and a.counterpart = t.counterpart
                        and a.why in ('ask_unknown', 'invite_unknown', 'link_vanished'))
  union all
  -- 4. Each tick runs once.
  select 4, 'two runs of a schedule are never open at a time', a.platform_id, a.schedule, b.started_at,
         format('run %s and run %s', a.run_id, b.run_id)
    from wxpatrol_data.run a
    join wxpatrol_data.run b
      on b.platform_id = a.platform_id and b.schedule = a.schedule and b.run_id <> a.run_id
     and b.started_at between a.started_at and coalesce(a.ended_at - interval '1 microsecond', 'infinity')
   where a.state not in ('skipped', 'missed', 'buffered')
     and b.state not in ('skipped', 'missed', 'buffered')
     and (b.started_at, b.run_id) > (a.started_at, a.run_id)
  union all
  select 4, 'a tick is decided on before its schedule''s mark has passed it', r.platform_id, r.schedule, r.fire_at, r.run_id::text
    from wxpatrol_data.run r
    join wxpatrol_data.schedule s on s.platform_id = r.platform_id and s.schedule = r.schedule
   where r.fire_at > s.heard_until
     and r.follows is null
     -- One that waited for no tick: its instant is when it began. A tick is decided on after its instant, or else too early.
     and not (r.schedule = 'sync' and r.fire_at = r.started_at)
  union all
  -- 6. A run ends, complete or clearly.
  select 6, 'a run ends within minutes of its deadline while a process works', r.platform_id, r.run_id::text, r.deadline_at,
         coalesce('schedule ' || r.schedule, 'by hand')
    from wxpatrol_data.run r
    join wxpatrol_data.platform p on p.platform_id = r.platform_id and p.enabled
   where r.state = 'open'
     and r.deadline_at < (select m.now from moment m) - interval '5 minutes'
     and exists (select from wxpatrol_data.process c
                  where c.purpose = 'run'
                    and c.started_at < (select m.now from moment m) - interval '5 minutes'
                    and c.beat_at > (select m.now from moment m) - interval '30 s')
  union all
  -- 7. Who leaves gives its leases back.
  select 7, 'who has left holds no lease', i.platform_id, i.appid, i.leased_until, concat_ws(' ', i.check_name, i.leased_by)
    from wxpatrol_data.item i
   where i.leased_until > (select m.now from moment m)
     and not exists (select from wxpatrol_data.process c where c.process_id = i.leased_by)
)
select p.component_appid as platform,
       b.promise,
       b.rule,
       b.subject,
       b.since,
       b.detail
  from broken b
  join wxpatrol_data.platform p on p.platform_id = b.platform_id
 order by b.promise, b.rule, p.component_appid, b.subject, b.detail;
