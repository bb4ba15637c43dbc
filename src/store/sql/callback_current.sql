-- callback_current.sql: the current intervals of a few merchants, without their content.
-- $1 platform, $2 appids. Not locked: the fenced claim is the only writer.
-- One look into callback_current for each merchant, by the lateral's offset: a plan made while the table was nearly
-- empty would compare every interval with every appid.
select c.appid, c.digest
  from unnest($2::text[]) as s (appid)
 cross join lateral (
       select n.appid, n.digest
         from callback_snapshot n
        where n.platform_id = $1
          and n.appid = s.appid
          and n.valid_to is null
       offset 0) c
