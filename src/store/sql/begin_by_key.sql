-- begin_by_key.sql: begins a transaction whose statements reach a few hundred rows by their keys.
-- In tables of tens of thousands of rows the planner would rather hash the whole table for them; that price grows with
-- the table (and with the dead rows that a run leaves in it), the price of going by key does not.
begin;
set local enable_hashjoin = off;
set local enable_mergejoin = off
