-- voices_needed.sql: how many merchants must say that the platform does not work: so many as the bound, or, where fewer are looked at
-- at all, those who can be called now. Whoever is skipped or held says nothing, and whose turn has not come says nothing yet.
-- $1 platform, $2 bound
with looked_at as materialized (
  select m.appid
    from merchant m
   where m.platform_id = $1
     and m.withdrawn_at is null
     and exists (
           select
             from item i
            where i.platform_id = m.platform_id
              and i.appid = m.appid
              and not i.held
              and i.outcome is distinct from 'skipped')
   limit $2
)
select case
         when (select count(*) from looked_at) >= $2 then $2
         else (select count(*)
                 from looked_at l
                where exists (
                        select
                          from item i
                         where i.platform_id = $1
                           and i.appid = l.appid
                           and not i.held
                           and (i.due_at <= clock() or i.leased_until > clock())))
       end
