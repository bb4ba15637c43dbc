-- coverage_of_all.sql: begins the count of a run over all merchants: the tables are read whole, joined and grouped by hash.
-- The planner expects a few dozen merchants in the scope and would look every item up by its key, which takes twice as
-- long, and sort what it found to group it. The memory is for a million merchants; more go through files.
begin;
set local enable_nestloop = off;
set local enable_mergejoin = off;
set local enable_sort = off;
set local work_mem = '64MB'
