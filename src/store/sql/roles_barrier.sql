-- roles_barrier.sql: whose rights this login lacks to hand out rights on everything of wxpatrol's; none: it has them.
select distinct pg_get_userbyid(o.owner)::text as owner
  from (select nspowner as owner from pg_namespace where nspname in ('wxpatrol', 'wxpatrol_data')
        union
        select relowner from pg_class
         where relnamespace in (to_regnamespace('wxpatrol'), to_regnamespace('wxpatrol_data'))
           and relkind in ('r', 'p', 'v', 'm', 'S')) o
 where not pg_has_role(o.owner, 'usage')
 order by 1
