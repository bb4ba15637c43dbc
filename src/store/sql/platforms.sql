-- platforms.sql: every platform with its settings, oldest first.
select p.platform_id,
       p.component_appid,
       p.nickname,
       p.enabled,
       p.schedules,
       p.secret_sealed,
       coalesce(p.named_at > clock() - interval '1 day', false) as named_lately,
       p.external_at is not null as external,
       array(select l.endpoint || case when l.per_merchant then '_merchant' else '' end || '=' || l.limit_text
               from platform_limit l
              where l.platform_id = p.platform_id
              order by l.endpoint, l.per_merchant) as limits
  from platform p
 order by p.platform_id
