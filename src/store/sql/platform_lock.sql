-- platform_lock.sql: a platform before it is changed, locked, so that two changes do not overwrite each other.
-- $1 component appid. No row: it is not known.
select platform_id, secret_sealed, event_token_sealed, event_key_sealed, ticket_sealed
  from platform
 where component_appid = $1
   for update
