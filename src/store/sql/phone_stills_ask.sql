-- phone_stills_ask.sql: puts asks to sleep whose phone is bound.
-- $1 platform, $2 appids. Leased asks are left to their holder. Another order of locks than the key's is seldom here, and a
-- collision is repeated.
update item i
   set due_at    = 'infinity',
       due_since = 'infinity',
       outcome   = 'skipped',
       reason    = 'phone_not_missing',
       attempts  = 0,
       class     = null,
       errcode   = null,
       rid       = null
  from (select $1::int as platform_id, u.*
          from unnest($2::text[])
                 as u (appid)
        offset 0) s
 where i.platform_id = s.platform_id
   and i.appid = s.appid
   and i.check_name = 'ask'
   and i.counterpart = ''
   and i.leased_by is null
   and (i.due_at < 'infinity' or i.reason = 'maximum_reached')
