-- retire_merchant_closures.sql: closures of merchants' endpoints that ended so many days ago.
-- $1 days, $2 rows at most
delete from merchant_closure c
 using (select platform_id, appid, endpoint
          from merchant_closure
         where closed_until < clock() - make_interval(days => $1)
         limit $2) old
 where c.platform_id = old.platform_id
   and c.appid = old.appid
   and c.endpoint = old.endpoint
