-- event_note.sql: notes an event about a merchant. No row: it is known already. 'overtaken': a newer one is known.
-- $1 platform, $2 appid, $3 info type, $4 WeChat's CreateTime, $5 code, sealed, or null, $6 when the code dies, or null,
-- $7 whether work follows from it. Another event of the same second counts as older: they came in this order.
with known as materialized (
  select coalesce((select m.event_at > $4
                     from merchant m
                    where m.platform_id = $1
                      and m.appid = $2), false)
      or exists (select from authorization_event e
                  where e.platform_id = $1
                    and e.appid = $2
                    and e.event_at > $4) as newer
), noted as (
  select case when k.newer then 'overtaken' when $7 then 'pending' else 'done' end as state
    from known k
)
insert into authorization_event (platform_id, appid, info_type, event_at, state, code_sealed, code_expires_at, due_at, settled_at)
select $1, $2, $3, $4, n.state,
       case when n.state = 'pending' then $5::bytea end,
       case when n.state = 'pending' then $6::timestamptz end,
       case when n.state = 'pending' then clock() end,
       case when n.state <> 'pending' then clock() end
  from noted n
on conflict on constraint an_event_is_known_once do nothing
returning event_id, state
