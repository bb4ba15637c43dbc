-- migrations_applied.sql: the migrations that this database has, whole ones and others.
select version, checksum, success from _migration
