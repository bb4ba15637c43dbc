-- platform_event.sql: what a platform's authorization event URL is signed and sealed with.
-- $1 platform
select event_token_sealed, event_key_sealed from platform where platform_id = $1
