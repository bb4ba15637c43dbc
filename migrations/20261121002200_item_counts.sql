-- How many items each check has, kept as they come and go, so that nobody counts millions of rows to know it. Claims and
-- records only update items, and fire nothing here.
-- Counting what is there reads `item` once and holds up planning meanwhile: a second for millions of rows. Half applied:
-- apply again.

create table item_count (
  platform_id integer not null,
  check_name  text    collate "C" not null,
  items       bigint  not null,
  primary key (platform_id, check_name)
);
comment on table item_count is 'How many items each check of a platform has. Kept by triggers on item.';
comment on column item_count.platform_id is 'The platform.';
comment on column item_count.check_name is 'The check.';
comment on column item_count.items is 'Its items, dormant and held ones included.';

-- Whoever may write items need not be able to write what is counted. Rows are written in key order, by every writer.
create function items_are_counted() returns trigger
  language plpgsql
  security definer
  set search_path = wxpatrol_data, pg_temp
  as $$
begin
  if tg_op = 'INSERT' then
    insert into item_count as c (platform_id, check_name, items)
    select n.platform_id, n.check_name, count(*)
      from new_items n
     group by n.platform_id, n.check_name
     order by n.platform_id, n.check_name
    on conflict (platform_id, check_name) do update
       set items = c.items + excluded.items;
  else
    insert into item_count as c (platform_id, check_name, items)
    select o.platform_id, o.check_name, -count(*)
      from old_items o
     group by o.platform_id, o.check_name
     order by o.platform_id, o.check_name
    on conflict (platform_id, check_name) do update
       set items = c.items + excluded.items;
  end if;
  return null;
end
$$;

lock table item in share row exclusive mode;
insert into item_count (platform_id, check_name, items)
select platform_id, check_name, count(*)
  from item
 group by platform_id, check_name;
create trigger items_inserted after insert on item referencing new table as new_items
  for each statement execute function items_are_counted();
create trigger items_deleted after delete on item referencing old table as old_items
  for each statement execute function items_are_counted();

-- What an operator asks for all the time is counted to a bound.
create function count_bound() returns bigint
  language sql immutable
  as 'select 10000::bigint';
comment on function count_bound() is 'How far rows are counted that may be millions, for status and the view limits.';

create view due_count as
select p.platform_id,
       c.check_name,
       d.items,
       d.barred,
       d.leased,
       d.due_since
  from (select (select m.now from moment m) as now) t
 cross join platform p
  join item_count c on c.platform_id = p.platform_id
 cross join lateral (
       select count(*) filter (where not i.leased) as items,
              count(*) filter (where not i.leased and i.barred) as barred,
              count(*) filter (where i.leased) as leased,
              min(i.due_since) filter (where not i.leased) as due_since
         from (
              select i.due_since,
                     i.free_at > t.now as barred,
                     coalesce(i.leased_until > t.now, false) as leased
                from item i
               where i.platform_id = p.platform_id
                 and i.check_name = c.check_name
                 and not i.held
                 and i.due_at < 'infinity'
                 and i.due_at <= t.now
               order by i.due_at
               limit count_bound()) i) d;
comment on view due_count is 'What is due for each check, the longest due items of each looked at, as many as count_bound() says.';
comment on column due_count.platform_id is 'The platform.';
comment on column due_count.check_name is 'The check.';
comment on column due_count.items is 'Due items that nobody leases.';
comment on column due_count.barred is 'Those among them whose merchant''s own limit bars them still.';
comment on column due_count.leased is 'Leased items.';
comment on column due_count.due_since is 'Since when the oldest of the due items is due; null: none is.';
