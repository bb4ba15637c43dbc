-- roles_used.sql: whether the roles were set up in this database: they belong to the whole server, their rights do not.
select exists (select
                 from pg_namespace n, aclexplode(n.nspacl) a, pg_roles r
                where n.nspname = 'wxpatrol_data'
                  and a.grantee = r.oid
                  and r.rolname = 'wxpatrol_worker')
   and exists (select from pg_roles where rolname = 'wxpatrol_reader')
