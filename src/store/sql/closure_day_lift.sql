-- closure_day_lift.sql: opens endpoints that only a count a day of ours has closed, when a process says what it is set to: that
-- count may be another one now. Where it is used up as before, the first question closes the endpoint again.
-- $1 platform, $2 the reason of such closures. May be repeated.
update closure
   set closed_until = clock(),
       slow_until = clock()
 where platform_id = $1
   and reason = $2
   and errcode is null
   and closed_until > clock()
