-- token_none.sql: a merchant for which no refresh token was ever stored is lost until one comes, and says so where
-- people look. A row that somebody made meanwhile stays as it is. Answers whether the merchant withdrew.
-- $1 platform, $2 appid, $3 reason
with known as (
  select platform_id, appid, withdrawn_at
    from merchant
   where platform_id = $1
     and appid = $2
), lost as (
  insert into credential (platform_id, appid, lost_reason, lost_at)
  select platform_id, appid, $3, clock()
    from known
   where withdrawn_at is null
  on conflict do nothing
)
select withdrawn_at is not null from known
