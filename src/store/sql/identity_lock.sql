-- identity_lock.sql: locks the known identity, so that one process notices a change.
select 1 from cluster_identity for update
