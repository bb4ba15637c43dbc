-- token.sql: the stored access token of one holder ('' = the platform).
-- $1 platform, $2 appid
select access_sealed,
       greatest(extract(epoch from access_expires_at - clock()), 0)::float8 as good_for_secs,
       version
  from credential
 where platform_id = $1
   and appid = $2
   and access_sealed is not null
