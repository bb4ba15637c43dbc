-- retire_quotas.sql: what WeChat said about quotas so many days ago, and the counts of questions of that time.
-- $1 days, $2 rows at most
with turns as (
  delete from quota_turn where day < (clock() at time zone 'Asia/Shanghai')::date - $1::int
)
delete from quota q
 using (select platform_id, appid, endpoint
          from quota
         where asked_at < clock() - make_interval(days => $1)
         limit $2) old
 where q.platform_id = old.platform_id
   and q.appid = old.appid
   and q.endpoint = old.endpoint
