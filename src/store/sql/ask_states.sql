-- ask_states.sql: what stands in the way of granting one more ask.
-- $1 platform, $2 appids
select m.appid, m.kind, m.withdrawn_at is not null as withdrawn, p.state
  from merchant m
  left join phone p
    on p.platform_id = m.platform_id
   and p.appid = m.appid
 where m.platform_id = $1
   and m.appid = any ($2)
