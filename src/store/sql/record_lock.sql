-- record_lock.sql: locks the items of a few merchants in key order, before the record that may wake one by another.
-- $1 platform, $2 appids, $3 checks. Locks every item found, in primary key order, so that two records never cross.
select 1
  from item
 where platform_id = $1
   and appid = any ($2)
   and check_name = any ($3)
 order by platform_id, appid, check_name, counterpart
   for update
