-- token_odd_book.sql: calls about a merchant refused two of the platform's own tokens in a row. Answers for how many
-- merchants that was booked in the last ten minutes, this one included. Forgets what is past three days.
-- $1 platform, $2 appid
with forgotten as (
  delete from component_refusal
   where platform_id = $1
     and appid <> $2
     and refused_at < clock() - interval '3 days'
), booked as (
  insert into component_refusal (platform_id, appid, refused_at)
  values ($1, $2, clock())
  on conflict (platform_id, appid) do update set refused_at = excluded.refused_at
)
select 1 + count(*)
  from component_refusal
 where platform_id = $1
   and appid <> $2
   and refused_at > clock() - interval '10 min'
