-- identity_changed.sql: keeps the new identity. The row is locked already (identity_lock.sql).
-- $1 system identifier (empty: it could not be read, and stays), $2 timeline, $3 the database's number, $4 that of the table
-- of intents
update cluster_identity
   set system_identifier = coalesce(nullif($1, ''), system_identifier),
       timeline = $2,
       database_oid = $3,
       intents_oid = $4,
       seen_at = clock()
