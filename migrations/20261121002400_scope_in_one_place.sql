-- Whether a merchant is in a run's scope, said in one place: coverage_write.sql leaves out the items of merchants that are not,
-- and counts those that are. The function is inlined, so it costs what its condition costs.
-- run_scope() answers as before. Half applied: apply again.

create function merchant_in_scope(m merchant, run_started_at timestamptz) returns boolean
  language sql immutable
  as $$
    select m.known_at <= run_started_at
       and (m.withdrawn_at is null or m.withdrawn_at > run_started_at)
       and m.kind = 'mini_program'
  $$;
comment on function merchant_in_scope(merchant, timestamptz) is 'Whether a run that started then must account for the mini program: known, and not withdrawn before.';

create or replace function run_scope(r run, unit text) returns table (appid text, counterpart text)
  language sql stable
  as $$
    select m.appid, ''
      from wxpatrol_data.merchant m
     where unit = 'mini_program'
       and m.platform_id = r.platform_id
       and wxpatrol_data.merchant_in_scope(m, r.started_at)
       and (r.merchants is null or m.appid = any (r.merchants))
    union all
    select distinct m.appid, ''
      from wxpatrol_data.wish w
      join wxpatrol_data.merchant m on m.platform_id = w.platform_id and m.appid = w.official_account
     where unit = 'account_with_wish'
       and w.platform_id = r.platform_id
       and w.wanted_at <= r.started_at
       and m.known_at <= r.started_at
       and (m.withdrawn_at is null or m.withdrawn_at > r.started_at)
       and (r.merchants is null or m.appid = any (r.merchants))
    union all
    select m.appid, w.mini_program
      from wxpatrol_data.wish w
      join wxpatrol_data.merchant m on m.platform_id = w.platform_id and m.appid = w.official_account
     where unit = 'wish'
       and w.platform_id = r.platform_id
       and w.wanted_at <= r.started_at
       and m.known_at <= r.started_at
       and (m.withdrawn_at is null or m.withdrawn_at > r.started_at)
       and (r.merchants is null or m.appid = any (r.merchants))
  $$;
