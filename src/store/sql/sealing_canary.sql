-- sealing_canary.sql: the text sealed with the key that came first.
-- $1 the same text sealed with the key at hand; kept only when there is none yet.
with first_one as (
  insert into sealing_key (canary) values ($1)
  on conflict (only_row) do nothing
  returning canary
)
select canary from first_one
union all
select canary from sealing_key
limit 1
