-- sealed_swap.sql: values of one column, sealed anew. A value that changed since it was read stays: whoever wrote it wins.
-- $1 the column as table.column, arrays of equal length: $2 platform, $3 appid, $4 the value as read, $5 sealed anew.
-- One arm for each column of rotation.rs. Locks the rows that it writes; of two that collide one is repeated.
with resealed as materialized (
  select *
    from unnest($2::int[], $3::text[], $4::bytea[], $5::bytea[]) as r (platform_id, appid, before, anew)
), tickets as (
  update platform t
     set ticket_sealed = r.anew
    from resealed r
   where $1 = 'platform.ticket_sealed'
     and t.platform_id = r.platform_id
     and t.ticket_sealed = r.before
  returning 1
), access_tokens as (
  update credential t
     set access_sealed = r.anew
    from resealed r
   where $1 = 'credential.access_sealed'
     and t.platform_id = r.platform_id
     and t.appid = r.appid
     and t.access_sealed = r.before
  returning 1
), refresh_tokens as (
  update credential t
     set refresh_sealed = r.anew
    from resealed r
   where $1 = 'credential.refresh_sealed'
     and t.platform_id = r.platform_id
     and t.appid = r.appid
     and t.refresh_sealed = r.before
  returning 1
), secrets as (
  update platform t
     set secret_sealed = r.anew
    from resealed r
   where $1 = 'platform.secret_sealed'
     and t.platform_id = r.platform_id
     and t.secret_sealed = r.before
  returning 1
), event_tokens as (
  update platform t
     set event_token_sealed = r.anew
    from resealed r
   where $1 = 'platform.event_token_sealed'
     and t.platform_id = r.platform_id
     and t.event_token_sealed = r.before
  returning 1
), event_keys as (
  update platform t
     set event_key_sealed = r.anew
    from resealed r
   where $1 = 'platform.event_key_sealed'
     and t.platform_id = r.platform_id
     and t.event_key_sealed = r.before
  returning 1
), codes as (
  update authorization_event t
     set code_sealed = r.anew
    from resealed r
   where $1 = 'authorization_event.code_sealed'
     and t.platform_id = r.platform_id
     and t.appid = r.appid
     and t.code_sealed = r.before
  returning 1
)
select (select count(*) from tickets)
     + (select count(*) from access_tokens)
     + (select count(*) from refresh_tokens)
     + (select count(*) from secrets)
     + (select count(*) from event_tokens)
     + (select count(*) from event_keys)
     + (select count(*) from codes)
