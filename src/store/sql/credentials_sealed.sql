-- credentials_sealed.sql: the sealed refresh tokens of a few merchants, to compare with new ones.
-- $1 platform, $2 appids
select appid, refresh_sealed
  from credential
 where platform_id = $1
   and appid = any ($2)
   and refresh_sealed is not null
