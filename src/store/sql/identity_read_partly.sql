-- identity_read_partly.sql: which database this is, as far as a role can tell that may not read the control data.
select '' as system_identifier,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as timeline,
       (select d.oid::bigint from pg_database d where d.datname = current_database()) as database_oid,
       'wxpatrol_data.intent'::regclass::oid::bigint as intents_oid
