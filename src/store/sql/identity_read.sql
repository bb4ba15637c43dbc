-- identity_read.sql: which database this is. Needs the right to read the control data.
-- The timeline is that which is written now: the control data tells of it only after the next checkpoint.
select s.system_identifier::text as system_identifier,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as timeline,
       (select d.oid::bigint from pg_database d where d.datname = current_database()) as database_oid,
       'wxpatrol_data.intent'::regclass::oid::bigint as intents_oid
  from pg_control_system() s
