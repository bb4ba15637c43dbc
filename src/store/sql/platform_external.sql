-- platform_external.sql: remembers who keeps a platform's tokens: another system, or wxpatrol itself.
-- $1 platform, $2 whether another system does. Writes only when that has changed.
update platform
   set external_at = case when $2 then clock() end
 where platform_id = $1
   and (external_at is not null) <> $2
