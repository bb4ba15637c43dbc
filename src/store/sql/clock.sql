-- clock.sql: Postgres's clock, the only one that decides.
select clock()
