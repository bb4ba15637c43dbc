-- asks_below_maximum.sql: asks that sleep at a maximum wake when the present one allows more.
-- $1 platform, $2 the maximum; null: none. The count is that of intend_past.sql. May be repeated. Served by item_barred. Items that
-- somebody is writing are left alone; whoever holds one decides by the present maximum.
with asleep as materialized (
  select i.platform_id, i.appid
    from item i
    join phone p
      on p.platform_id = i.platform_id
     and p.appid = i.appid
     and p.state = 'missing'
   where i.platform_id = $1
     and i.check_name = 'ask'
     and i.counterpart = ''
     and i.outcome = 'skipped'
     and i.reason = 'maximum_reached'
     and i.leased_by is null
     and ($2::bigint is null
          or $2::bigint + p.asks_granted > (select count(*)
                                              from intent t
                                             where t.platform_id = i.platform_id
                                               and t.appid = i.appid
                                               and t.purpose = 'ask'
                                               and t.counterpart = ''
                                               and t.outcome <> 'not_made'
                                               and t.made_at > coalesce(p.bound_at, '-infinity')))
   order by i.platform_id, i.appid
     for no key update of i skip locked
)
update item i
   set due_at = m.now,
       due_since = m.now,
       outcome = null,
       reason = null,
       attempts = 0
  from (select clock() as now) m, asleep a
 where i.platform_id = a.platform_id
   and i.appid = a.appid
   and i.check_name = 'ask'
   and i.counterpart = ''
