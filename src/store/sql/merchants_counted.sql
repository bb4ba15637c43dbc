-- merchants_counted.sql: how many merchants a platform has, counted no further than to a bound.
-- $1 platform, $2 bound
select count(*) from (select from merchant where platform_id = $1 and withdrawn_at is null limit $2) known
