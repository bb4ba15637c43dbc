-- event_grants.sql: what a merchant grants, as the exchange of its code told; planning looks again, also for items that
-- waited for a token. No row: it has withdrawn, or a newer event is known.
-- $1 platform, $2 appid, $3 the event's CreateTime, $4 permission sets as '49,64', or null: not told
-- Locks the merchant's row: an event that withdraws it waits, and then erases what is kept here.
update merchant
   set permission_sets = coalesce(string_to_array($4, ',')::int[], permission_sets),
       plan_stale = true
 where platform_id = $1
   and appid = $2
   and event_at = $3
   and withdrawn_at is null
returning appid
