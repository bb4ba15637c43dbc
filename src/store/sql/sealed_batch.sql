-- sealed_batch.sql: values of one column that are sealed with another key than this, in key order.
-- $1 the column as table.column, $2 the key's id, $3 platform and $4 appid after which to look, $5 rows at most.
-- One arm for each column of rotation.rs; the arms of other columns are not run. Served by the primary keys.
(select platform_id, '' as appid, ticket_sealed as sealed
   from platform
  where $1 = 'platform.ticket_sealed'
    and ticket_sealed is not null
    and substr(ticket_sealed, 1, 4) <> $2
    and (platform_id, '') > ($3, $4)
  order by platform_id
  limit $5)
union all
(select platform_id, appid, access_sealed as sealed
   from credential
  where $1 = 'credential.access_sealed'
    and access_sealed is not null
    and substr(access_sealed, 1, 4) <> $2
    and (platform_id, appid) > ($3, $4)
  order by platform_id, appid
  limit $5)
union all
(select platform_id, appid, refresh_sealed as sealed
   from credential
  where $1 = 'credential.refresh_sealed'
    and refresh_sealed is not null
    and substr(refresh_sealed, 1, 4) <> $2
    and (platform_id, appid) > ($3, $4)
  order by platform_id, appid
  limit $5)
union all
(select platform_id, '' as appid, secret_sealed as sealed
   from platform
  where $1 = 'platform.secret_sealed'
    and secret_sealed is not null
    and substr(secret_sealed, 1, 4) <> $2
    and (platform_id, '') > ($3, $4)
  order by platform_id
  limit $5)
union all
(select platform_id, '' as appid, event_token_sealed as sealed
   from platform
  where $1 = 'platform.event_token_sealed'
    and event_token_sealed is not null
    and substr(event_token_sealed, 1, 4) <> $2
    and (platform_id, '') > ($3, $4)
  order by platform_id
  limit $5)
union all
(select platform_id, '' as appid, event_key_sealed as sealed
   from platform
  where $1 = 'platform.event_key_sealed'
    and event_key_sealed is not null
    and substr(event_key_sealed, 1, 4) <> $2
    and (platform_id, '') > ($3, $4)
  order by platform_id
  limit $5)
union all
(select platform_id, appid, code_sealed as sealed
   from authorization_event
  where $1 = 'authorization_event.code_sealed'
    and code_sealed is not null
    and substr(code_sealed, 1, 4) <> $2
    and (platform_id, appid) > ($3, $4)
  order by platform_id, appid
  limit $5)
