-- The key of an authorization event begins with its merchant, as that of every table that grows with the merchants: they could
-- be spread over several servers by it. Statements go on finding an event by its number.
-- Locks the table for a moment; it holds the events of some days. Half applied: apply again.

alter table authorization_event
  drop constraint authorization_event_pkey,
  add primary key (platform_id, appid, event_id);
create index authorization_event_by_id on authorization_event (event_id);
comment on index authorization_event_by_id is 'Serves event_again.sql, event_settle.sql, event_spend.sql and events_claim.sql.';
