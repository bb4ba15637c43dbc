-- intend_item.sql: the leased item before its message, locked, with everything that could forbid the message.
-- $1 platform, $2 appid, $3 check, $4 counterpart, $5 fence, $6 process, $7 the check's endpoint, $8 the call's length
-- in seconds. No row: the lease is lost, or ends before the call would.
select m.now,
       merchant.withdrawn_at is not null as withdrawn,
       exists (select from hold h
                where h.platform_id = i.platform_id
                  and (h.until is null or h.until > m.now)
                  and (h.appid is null or h.appid = i.appid)
                  and (h.check_name is null or h.check_name = i.check_name)
                  and (h.endpoint is null or h.endpoint = $7)) as held
  from (select clock() as now) m,
       item i
  join merchant
    on merchant.platform_id = i.platform_id
   and merchant.appid = i.appid
 where i.platform_id = $1
   and i.appid = $2
   and i.check_name = $3
   and i.counterpart = $4
   and i.fence = $5
   and i.leased_by = $6
   and i.leased_until > m.now + make_interval(secs => $8)
   for update of i
