-- runbook_write.sql: replaces the runbook by the program's own table.
-- $1..$8 errcode, endpoint ('' = any), class, meanings and instructions in zh and en, who acts: arrays of equal length.
-- Rows are written in key order, so that two processes that start together queue instead of colliding.
with said as materialized (
  select *
    from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
      as t (errcode, endpoint, class, meaning_zh, meaning_en, remedy_zh, remedy_en, actor)
), gone as (
  delete from errcode e
   where not exists (select from said s where s.errcode = e.errcode and s.endpoint = e.endpoint)
)
insert into errcode as e (errcode, endpoint, class, meaning_zh, meaning_en, remedy_zh, remedy_en, actor)
select * from said order by errcode, endpoint
on conflict (errcode, endpoint) do update
   set class = excluded.class,
       meaning_zh = excluded.meaning_zh,
       meaning_en = excluded.meaning_en,
       remedy_zh = excluded.remedy_zh,
       remedy_en = excluded.remedy_en,
       actor = excluded.actor
 where (e.class, e.meaning_zh, e.meaning_en, e.remedy_zh, e.remedy_en, e.actor)
       is distinct from (excluded.class, excluded.meaning_zh, excluded.meaning_en, excluded.remedy_zh, excluded.remedy_en, excluded.actor)
