-- intend_ask_wanted.sql: whether the ask is still wanted: the phone was last read as missing.
-- $1 platform, $2 appid
select p.state = 'missing' as wanted, p.asks_granted
  from phone p
 where p.platform_id = $1
   and p.appid = $2
