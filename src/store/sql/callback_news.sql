-- callback_news.sql: whether readings differ from the current intervals of their merchants.
-- $1 platform, arrays of equal length: $2 appid, $3 digest
-- Answers with one list in the order of the arrays: null is a merchant's first reading. Not locked: the fenced claim is the only
-- writer.
-- One look into the index callback_current for each merchant, by the lateral's offset: a plan made while the table was nearly
-- empty would compare every interval with every appid.
select coalesce(array_agg(c.digest <> s.digest order by s.ordinal), '{}') as differs
  from unnest($2::text[], $3::bytea[]) with ordinality as s (appid, digest, ordinal)
  left join lateral (
       select n.digest
         from callback_snapshot n
        where n.platform_id = $1
          and n.appid = s.appid
          and n.valid_to is null
       offset 0) c on true
