-- view_columns.sql: the columns of one view in order, with their types as Postgres writes them.
-- $1 view. No row: there is no such view.
select a.attname::text as name,
       format_type(a.atttypid, a.atttypmod) as type_name,
       coalesce(col_description(c.oid, a.attnum), '') as comment,
       coalesce(obj_description(c.oid, 'pg_class'), '') as title
  from pg_class c
  join pg_attribute a
    on a.attrelid = c.oid
   and a.attnum > 0
   and not a.attisdropped
 where c.relnamespace = 'wxpatrol'::regnamespace
   and c.relkind = 'v'
   and c.relname = $1
 order by a.attnum
