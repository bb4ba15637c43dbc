-- identity_hold.sql: messages of every platform wait for an operator. What is held for this reason is held once.
-- $1 checks, $2 reason
insert into hold (platform_id, check_name, reason, created_by)
select p.platform_id, c.check_name, $2, 'wxpatrol'
  from platform p
 cross join unnest($1::text[]) as c (check_name)
 where not exists (select from hold h
                    where h.platform_id = p.platform_id
                      and h.appid is null
                      and h.check_name = c.check_name
                      and h.reason = $2)
 order by p.platform_id, c.check_name
