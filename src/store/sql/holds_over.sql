-- holds_over.sql: whether the time of some hold is over.
-- $1 platform
select exists (
  select
    from hold
   where platform_id = $1
     and until <= clock())
