-- views_list.sql: the views that people may read, and the title of each.
select c.relname::text as name,
       coalesce(obj_description(c.oid, 'pg_class'), '') as title
  from pg_class c
 where c.relnamespace = 'wxpatrol'::regnamespace
   and c.relkind = 'v'
 order by c.relname
