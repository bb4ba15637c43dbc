-- own_tokens.sql: what is stored to refresh a platform's tokens with, or was refreshed: a verify ticket, and the tokens
-- of merchants.
-- $1 platform
select p.ticket_sealed is not null as ticket,
       (select count(*)
          from credential c
         where c.platform_id = p.platform_id
           and c.appid <> ''
           and (c.refresh_sealed is not null or c.access_sealed is not null)) as merchants
  from platform p
 where p.platform_id = $1
