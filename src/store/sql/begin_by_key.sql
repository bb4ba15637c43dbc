-- begin_by_key.sql: begins a transaction whose statements reach a few hundred rows by their keys.
-- In tables of tens of thousands of rows the planner would rather hash the whole table for them; that price grows with
-- the table (and with the dead rows that a run leaves in it), the price of going by key does not. A table that was empty
-- when a statement was first planned would be read whole by that plan ever after. So each statement is planned once for a
-- connection, for any values, and goes by key.
-- Its commit does not wait for the disk: should Postgres crash, the claims and readings of its last half second are
-- gone, and their items are due again. What may message a person waits: an intent is flushed before its call
-- (intend_durable.sql), and the log is flushed in order, so that the claim and the merchant's limit before it are on
-- disk too; a record of intents waits as well, and so does the end of a run, with every record before it.
begin;
set local synchronous_commit = off;
set local plan_cache_mode = force_generic_plan;
set local enable_seqscan = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off
