-- roles_create.sql: the two roles that nobody logs in with: logins are put into them. Needs the right to create roles.
-- May be repeated, and by two at once. Roles belong to the whole server, not to one database.
do $$
declare
  wanted text;
begin
  foreach wanted in array array['wxpatrol_worker', 'wxpatrol_reader'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
      begin
        execute format('create role %I nologin', wanted);
      exception
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
end
$$
