-- A reading that a run leaves because the merchant's own limit, or what WeChat said of this merchant alone, bars it yet, is told so
-- in its coverage: 'due' said nothing of the cause. A message's limit stands at its merchant's reading. Otherwise as before.
-- Half applied: apply again.

create or replace function item_bucket(i item, run_started_at timestamptz, left_because text, left_by_hold boolean,
                                       moment timestamptz)
  returns table (bucket text, reason text)
  language sql immutable rows 1
  as $$
    select case
             when i.held and not coalesce(i.recorded_at >= run_started_at and i.outcome = 'done', false) then 'skipped'
             when i.leased_until > moment then 'deferred'
             when i.outcome = 'done' and i.recorded_at >= run_started_at then 'done'
             when i.due_at <= moment and left_because is not null and left_by_hold then 'skipped'
             when i.due_at <= moment then 'deferred'
             when i.outcome = 'done' then 'fresh'
             when i.outcome = 'again' then 'deferred'
             when i.outcome is null then 'deferred'
             else i.outcome
           end,
           case
             when i.held and not coalesce(i.recorded_at >= run_started_at and i.outcome = 'done', false) then 'held'
             when i.leased_until > moment then 'leased'
             when i.outcome = 'done' and i.recorded_at >= run_started_at then null
             when i.due_at <= moment
               then coalesce(left_because, i.reason, case when i.free_at > moment then 'merchant_limit' else 'due' end)
             when i.outcome = 'done' then null
             when i.outcome is null then coalesce(left_because, 'due')
             else i.reason
           end
  $$;
