-- What is wrong with tokens, for the view attention: merchants that somebody else refreshes, and an external source of
-- tokens that gives dead ones, none, or no answer. More than a hundred merchants of one kind are one row: then it is not
-- they who must be looked at. Half applied: nothing reads it yet, apply again.

create view token_trouble as
with contested as (
  select c.platform_id, c.appid, c.contested_since, c.contested_at, c.contested_count,
         count(*) over (partition by c.platform_id) as merchants
    from credential c
    join merchant m
      on m.platform_id = c.platform_id
     and m.appid = c.appid
     and m.withdrawn_at is null
   where c.contested_at > (select t.now from moment t) - interval '7 days'
), waiting as (
  select i.platform_id, i.appid, i.reason, min(i.check_name) as check_name, min(i.recorded_at) as since,
         count(*) over (partition by i.platform_id, i.reason) as merchants
    from item i
   where i.outcome = 'deferred'
     and i.reason in ('external_token_dead', 'external_token_missing', 'token_source_silent')
   group by i.platform_id, i.appid, i.reason
)
select platform_id, appid, ''::text as check_name, 'token_contested'::text as why, contested_since as since,
       'seen ' || contested_count || ' times, last at ' || to_char(contested_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC' as detail
  from contested
 where merchants <= 100
union all
select platform_id, '', '', 'token_contested', min(contested_since),
       count(*) || ' merchants, the last of them ' || (array_agg(appid order by contested_at desc))[1]
  from contested
 where merchants > 100
 group by platform_id
union all
select platform_id, appid, check_name, reason, since, null
  from waiting
 where reason <> 'token_source_silent'
   and merchants <= 100
union all
select platform_id, '', '', reason, min(since),
       count(*) || ' merchants wait, the first of them ' || (array_agg(appid order by since, appid))[1]
  from waiting
 where reason = 'token_source_silent'
    or merchants > 100
 group by platform_id, reason;
comment on view token_trouble is 'What is wrong with tokens, as rows for the view attention.';
comment on column token_trouble.platform_id is 'The platform.';
comment on column token_trouble.appid is 'The merchant; empty: many, or the source itself.';
comment on column token_trouble.check_name is 'The first check that waits; empty: none in particular.';
comment on column token_trouble.why is 'Why, in one word.';
comment on column token_trouble.since is 'Since when.';
comment on column token_trouble.detail is 'More, in words; null: nothing more is known.';
