-- identity_known.sql: which database this was when it was looked at last.
select system_identifier, timeline, database_oid, intents_oid from cluster_identity
