-- roles_grant.sql: what the two roles may do in this database. Needs the rights of the owner of the schemas, or of a
-- superuser. May be repeated: what they may not do is taken back.
-- wxpatrol_worker: reads and writes rows; what only migrations write (the ledger, the schema's steps, the clock's shift) it
-- reads. It owns nothing and changes no schema. Views are read by it and never written, because a view writes in its
-- owner's name.
-- wxpatrol_reader: reads the views of the schema wxpatrol and nothing else.
do $$
declare
  relation record;
begin
  -- Two that grant at the same time would trip over each other's rows of the catalog.
  perform pg_catalog.pg_advisory_xact_lock(20261121001301);
  grant usage on schema wxpatrol, wxpatrol_data to wxpatrol_worker;
  grant usage on schema wxpatrol to wxpatrol_reader;
  revoke all on schema wxpatrol_data from wxpatrol_reader;

  for relation in
    select c.oid::regclass as name, c.relkind, c.relnamespace = 'wxpatrol'::regnamespace as face,
           c.relname in ('_migration', 'schema_step', 'rehearsal_clock') as kept
      from pg_catalog.pg_class c
     where c.relnamespace in ('wxpatrol'::regnamespace, 'wxpatrol_data'::regnamespace)
       and c.relkind in ('r', 'p', 'v', 'm', 'S')
  loop
    execute format('revoke all on %s from wxpatrol_worker, wxpatrol_reader', relation.name);
    if relation.relkind = 'S' then
      execute format('grant usage on sequence %s to wxpatrol_worker', relation.name);
    elsif relation.relkind in ('r', 'p') and not relation.face and not relation.kept then
      execute format('grant select, insert, update, delete on %s to wxpatrol_worker', relation.name);
    else
      execute format('grant select on %s to wxpatrol_worker', relation.name);
    end if;
    if relation.face then
      execute format('grant select on %s to wxpatrol_reader', relation.name);
    end if;
  end loop;
  grant execute on all functions in schema wxpatrol_data to wxpatrol_worker;

  -- A view that a migration makes anew is readable from its first moment on.
  execute format('alter default privileges for role %I in schema wxpatrol grant select on tables to wxpatrol_worker, wxpatrol_reader',
                 (select pg_catalog.pg_get_userbyid(nspowner) from pg_catalog.pg_namespace where nspname = 'wxpatrol'));
end
$$
