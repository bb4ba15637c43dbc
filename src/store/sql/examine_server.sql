-- examine_server.sql: what a person must know of this Postgres and this login before wxpatrol works there. Catalogs only, so
-- that it answers before there is a schema.
-- $1 this machine's clock
select current_setting('server_version_num')::int as version_num,
       current_setting('server_version') as version,
       current_user::text as login,
       r.rolsuper as superuser,
       (select pg_get_userbyid(nspowner)::text from pg_namespace where nspname = 'wxpatrol_data') as owner,
       exists (select from pg_roles w where w.rolname = 'wxpatrol_worker' and pg_has_role(w.oid, 'member')) as worker,
       pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
       round(extract(epoch from $1::timestamptz - clock_timestamp()) * 1000)::bigint as skew_ms
  from pg_roles r
 where r.rolname = current_user
