-- begin_by_key.sql: begins a transaction whose statements reach a few hundred rows by their keys.
-- In tables of tens of thousands of rows the planner would rather hash the whole table for them; that price grows with
-- the table (and with the dead rows that a run leaves in it), the price of going by key does not.
-- Each statement is planned anew, by the sizes of that moment: a plan that was made while a table was nearly empty would go
-- through all of it ever after. And rows that are given bring their platform along, behind an `offset 0`: "all rows of the
-- platform" looks like a few rows to the planner where nobody has analyzed the table yet, and it would go through them for
-- each row that is given. (Twenty thousand merchants that had just been imported were recorded a hundred times slower.)
-- Its commit does not wait for the disk: should Postgres crash, the claims and readings of its last half second are
-- gone, and their items are due again. What may message a person waits: an intent is flushed before its call
-- (intend_durable.sql), and the log is flushed in order, so that the claim and the merchant's limit before it are on
-- disk too; a record of intents waits as well, and so does the end of a run, with every record before it.
begin;
set local synchronous_commit = off;
set local plan_cache_mode = force_custom_plan;
set local enable_seqscan = off;
set local enable_bitmapscan = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off
