-- commit.sql: ends a transaction; what it did stays.
commit
