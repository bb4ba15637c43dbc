-- coverage_of_all.sql: begins the count of a run over all merchants: the tables are read whole and joined by hash.
-- The planner expects a few dozen merchants in the scope and would look every item up by its key, which takes twice as
-- long.
begin;
set local enable_nestloop = off;
set local enable_mergejoin = off
