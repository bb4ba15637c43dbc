-- rollback.sql: ends a transaction; what it did is undone.
rollback
