-- probe_place.sql: a place at random among the first due items of one check, for a probe to begin behind: one odd merchant that
-- stands in front must not be the one that is tried again and again. No row: with the first.
-- $1 platform, $2 check. Served by item_due.
with front as materialized (
  select i.due_at, i.appid, i.counterpart,
         row_number() over (order by i.due_at, i.appid, i.counterpart) as nth
    from item i
   where i.platform_id = $1
     and i.check_name = $2
     and not i.held
     and i.due_at < 'infinity'
     and i.due_at <= (select clock())
     and i.free_at <= (select clock())
     and (i.leased_until is null or i.leased_until <= (select clock()))
   order by i.due_at, i.appid, i.counterpart
   limit 64
), chosen as materialized (
  select floor(random() * count(*)) as nth from front
)
select f.due_at, f.appid, f.counterpart
  from front f
  join chosen c on c.nth = f.nth
