-- roles_missing.sql: which of the two roles there are not yet on this server.
select wanted
  from unnest(array['wxpatrol_worker', 'wxpatrol_reader']) as w (wanted)
 where not exists (select from pg_roles where rolname = wanted)
 order by wanted
