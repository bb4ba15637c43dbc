-- recovery_lease.sql: prolongs the reading that began then, or ends it.
-- $1 platform, $2 when it began, $3 lease in seconds; null: it has ended
update recovery
   set leased_until = clock() + make_interval(secs => $3),
       ended_at = case when $3 is null then clock() end
 where platform_id = $1
   and began_at = $2
   and leased_until is not null
