-- token_back.sql: a refresh that was not tried gives its lease back; nothing is booked against the holder.
-- $1 platform, $2 appid, $3 fence
update credential
   set leased_until = null
 where platform_id = $1
   and appid = $2
   and fence = $3
returning true
