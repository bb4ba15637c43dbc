-- identity_known.sql: which Postgres this was, locked, so that one process notices the change.
select system_identifier, timeline from cluster_identity for update
