-- status_checks.sql: the items of each check: all, due, leased, held. What is due, leased or held is counted up to
-- count_bound() of each, so that it is answered at once however many merchants there are.
-- Served by the table item_count, and by item_due and item_held.
select p.component_appid as platform,
       c.check_name,
       c.items,
       d.items as due,
       d.due_since,
       d.leased,
       h.items as held
  from platform p
  join item_count c on c.platform_id = p.platform_id and c.items > 0
  join due_count d on d.platform_id = c.platform_id and d.check_name = c.check_name
 cross join lateral (
       select count(*) as items
         from (select
                 from item i
                where i.platform_id = c.platform_id
                  and i.check_name = c.check_name
                  and i.held
                limit count_bound()) i) h
 order by p.component_appid, c.check_name
