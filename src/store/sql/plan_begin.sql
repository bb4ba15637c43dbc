-- plan_begin.sql: begins a batch of planning, which reaches its merchants or wishes, and their items, by their keys.
-- With tens of thousands of merchants the planner would rather go through all of them for each batch. Each batch is planned
-- anew: a plan that was made while there were no items would go through all of them ever after.
begin;
set local plan_cache_mode = force_custom_plan;
set local enable_seqscan = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off
