-- intend_asks_wanted.sql: whether asks are still wanted: the phone was last read as missing.
-- $1 platform, arrays: $2 appid, $3 counterpart (none). Answers with ordinals; one that is missing has no reading.
select s.ordinal,
       p.state = 'missing' as wanted,
       p.asks_granted as granted,
       false as notify_users,
       false as show_profile
  from (select $1::int as platform_id, u.*
          from unnest($2::text[], $3::text[]) with ordinality
                 as u (appid, counterpart, ordinal)
        offset 0) s
  join phone p
    on p.platform_id = s.platform_id
   and p.appid = s.appid
