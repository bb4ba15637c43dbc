-- ticket.sql: the newest verify ticket and its age.
-- $1 platform
select ticket_sealed, greatest(extract(epoch from clock() - ticket_at), 0)::float8 as age_secs
  from platform
 where platform_id = $1
   and ticket_sealed is not null
