-- sealed_counts.sql: how many values of each column are sealed with which key. Reads every row: for people.
-- One arm for each column of rotation.rs, and one for the canary.
select s.column_name, s.key_id, count(*) as values_count
  from (select 'sealing_key.canary' as column_name, substr(canary, 1, 4) as key_id from sealing_key
        union all
        select 'platform.ticket_sealed', substr(ticket_sealed, 1, 4) from platform
        union all
        select 'credential.access_sealed', substr(access_sealed, 1, 4) from credential
        union all
        select 'credential.refresh_sealed', substr(refresh_sealed, 1, 4) from credential
        union all
        select 'platform.secret_sealed', substr(secret_sealed, 1, 4) from platform
        union all
        select 'platform.event_token_sealed', substr(event_token_sealed, 1, 4) from platform
        union all
        select 'platform.event_key_sealed', substr(event_key_sealed, 1, 4) from platform
        union all
        select 'authorization_event.code_sealed', substr(code_sealed, 1, 4) from authorization_event) s
 where s.key_id is not null
 group by s.column_name, s.key_id
 order by s.column_name, s.key_id
