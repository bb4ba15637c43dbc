-- read_only.sql: why nothing can be written here; null: it can. Locks nothing.
select case when pg_is_in_recovery() then 'it is a replica'
            when current_setting('transaction_read_only')::boolean
              then 'its sessions are read-only (default_transaction_read_only)' end
