-- holds_expire.sql: holds whose time is over go; the trigger frees their items.
-- $1 platform
delete from hold
 where platform_id = $1
   and until <= clock()
