-- identity_changed.sql: keeps the new identity. The row is locked already (identity_known.sql).
-- $1 system identifier, $2 timeline
update cluster_identity
   set system_identifier = $1,
       timeline = $2,
       seen_at = clock()
