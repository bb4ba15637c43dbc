-- record.sql: writes what became of claims, each only if its fence and lease still hold.
-- $1 platform, $2 process, $3 run, then arrays of equal length: $4 appid, $5 check, $6 counterpart, $7 fence,
-- $8 outcome (null: the claim goes back as it was), $9 reason, $10 class, $11 errcode, $12 rid,
-- $13 due at (null: dormant), $14 whether the try counts, $15 free at, $16 whether the row is no claim but an ask that wakes,
-- because the claim of its merchant's phone, with this fence, found the phone missing.
-- Answers with the ordinals of the rows that were written, in one list: a stale row drops alone, and the ask that it would wake
-- with it.
-- An ask wakes if it slept because no phone was known to be missing; a cool-down or a reached maximum is left alone, and a
-- leased ask to its holder.
-- The arrays are in key order, and rows are locked in theirs, one look into the primary key for each.
-- Served by item's primary key. Lease and fence stand in one case, which the planner does not estimate: leases come and
-- go faster than statistics, and a plan that trusts "nobody leases anything" goes over the whole table for each row.
with moment as materialized (
  select clock() as now
), written as (
  update item i
     set due_at      = case when s.wakes then m.now
                            when s.outcome is null then i.due_at
                            else coalesce(s.due_at, 'infinity') end,
         due_since   = case when s.wakes then m.now
                            when s.outcome is null or s.outcome = 'again' then i.due_since
                            else coalesce(s.due_at, 'infinity') end,
         leased_by   = null,
         leased_until = null,
         abandoned   = case when s.outcome is null then i.abandoned else 0 end,
         free_at     = coalesce(s.free_at, i.free_at),
         attempts    = case when s.wakes then 0
                            when s.outcome is null then i.attempts
                            when s.outcome = 'again' then i.attempts + s.counts::int
                            else 0 end,
         slowed      = case when s.outcome is null then i.slowed
                            when s.outcome = 'again' and (s.class = 'quota_minute' or s.reason = 'token_source_silent')
                                 then i.slowed + 1
                            else 0 end,
         recorded_at = case when s.outcome is null then i.recorded_at else m.now end,
         done_at     = case when s.outcome = 'done' then m.now else i.done_at end,
         outcome     = case when s.wakes then null else coalesce(s.outcome, i.outcome) end,
         reason      = case when s.wakes then null when s.outcome is null then i.reason else s.reason end,
         class       = case when s.outcome is null then i.class else s.class end,
         errcode     = case when s.outcome is null then i.errcode else s.errcode end,
         rid         = case when s.outcome is null then i.rid else s.rid end,
         run_id      = case when s.wakes then i.run_id else coalesce($3, i.run_id) end
    from moment m,
         (select $1::int as platform_id, u.*
            from unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::bigint[],
                        $12::text[], $13::timestamptz[], $14::boolean[], $15::timestamptz[], $16::boolean[]) with ordinality
                   as u (appid, check_name, counterpart, fence, outcome, reason, class, errcode,
                         rid, due_at, counts, free_at, wakes, ordinal)
          offset 0) s
   where i.platform_id = s.platform_id
     and i.appid = s.appid
     and i.check_name = s.check_name
     and i.counterpart = s.counterpart
     and case when s.wakes then i.leased_by is null
                                and i.due_at = 'infinity'
                                and (i.reason is null or i.reason in ('phone_not_missing', 'not_wanted'))
                                and exists (select from item p
                                             where p.platform_id = $1
                                               and p.appid = s.appid
                                               and p.check_name = 'phone'
                                               and p.counterpart = ''
                                               and p.leased_by = $2
                                               and p.fence = s.fence
                                               and p.leased_until > m.now)
              when i.leased_by = $2 then i.fence = s.fence and i.leased_until > m.now else false end
  returning s.ordinal
)
select coalesce(array_agg(ordinal), '{}') as ordinals
  from written
