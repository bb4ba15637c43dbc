-- begin.sql: begins a transaction.
begin
