-- run_unfinished_of.sql: as run_unfinished.sql, for the run of a few merchants: however much is due of all the others.
-- $1 platform, $2 checks that are not shut for longer, $3 merchants, $4 for each check its gate, or null.
-- Served by item's primary key.
select exists (
  select
    from (select clock() as now) m,
         (select $1::int as platform_id, appid, c.check_name, c.gate
            from unnest($3::text[]) as appid,
                 unnest($2::text[], $4::text[]) as c (check_name, gate)
          offset 0) s
    join item i
      on i.platform_id = s.platform_id
     and i.appid = s.appid
     and i.check_name = s.check_name
   where not i.held
     and i.due_at < 'infinity'
     and i.due_at <= m.now + interval '2 min'
     and i.free_at <= m.now + interval '2 min'
     and (s.gate is null
          or i.leased_until > m.now
          or exists (select from item g
                      where g.platform_id = i.platform_id
                        and g.appid = i.appid
                        and g.check_name = s.gate
                        and g.counterpart = ''
                        and g.free_at <= m.now + interval '1 h')))
