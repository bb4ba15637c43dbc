-- identity_read.sql: which Postgres this is. Needs the right to read the control data.
select s.system_identifier::text as system_identifier,
       c.timeline_id as timeline
  from pg_control_system() s,
       pg_control_checkpoint() c
