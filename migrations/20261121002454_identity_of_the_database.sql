-- A dump that is restored into the same server has the server's identity; the database, or its tables, are others.
-- An older binary knows nothing of the columns. Half applied: apply again.

alter table cluster_identity add column database_oid bigint;
alter table cluster_identity add column intents_oid bigint;
comment on column cluster_identity.database_oid is 'The database''s number in pg_database: another one means another database of the same cluster. Null: not seen yet.';
comment on column cluster_identity.intents_oid is 'The number of the table of intents in pg_class: another one means that it was made anew. Null: not seen yet.';
comment on column cluster_identity.system_identifier is 'Made by initdb: another one means another cluster. Empty: no role that asked may read it.';
