-- schema_owner.sql: this login, and who owns the tables; the owner is null while there is no schema.
select current_user::text as login,
       (select pg_get_userbyid(nspowner)::text from pg_namespace where nspname = 'wxpatrol_data') as owner
