-- token_lease.sql: makes this process the one refresher, in one statement: unless the merchant withdrew, a token is
-- stored that is another than the one that was seen, the holder is lost, somebody else refreshes, a failure cools down,
-- or a refusal had the platform's own token bought a moment ago. No row: token_state.sql says which.
-- Answers as well which of the platform's own tokens nobody is to call with.
-- Of two at once the second waits for the row, and looks at it again.
-- $1 platform, $2 appid ('' = the platform), $3 lease in seconds, $4 version that was seen or null, $5 whether a refusal
-- is the cause, $6 seconds between two refusals that have the platform's own token bought
update credential c
   set fence = c.fence + 1,
       leased_until = clock() + make_interval(secs => $3)
 where c.platform_id = $1
   and c.appid = $2
   and c.lost_reason is null
   and (c.leased_until is null or c.leased_until <= clock())
   and (c.cool_until is null or c.cool_until <= clock())
   and (c.access_sealed is null or c.version is not distinct from $4 or c.access_expires_at <= clock())
   and not (c.appid = '' and $5 and c.refused_at is not null and c.refused_at > clock() - make_interval(secs => $6))
   and not exists (select from merchant m
                    where m.platform_id = c.platform_id
                      and m.appid = c.appid
                      and m.withdrawn_at is not null)
returning c.fence, c.refresh_sealed, c.refresh_version,
          (select k.refused_version from credential k where k.platform_id = $1 and k.appid = '') as component_refused
