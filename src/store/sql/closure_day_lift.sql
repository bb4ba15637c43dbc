-- closure_day_lift.sql: opens endpoints that a count a day of ours has closed and, by what the living processes are set to now,
-- would not close: an operator has raised it, or taken it away.
-- $1 platform, $2 the reason of such closures. May be repeated.
update closure c
   set closed_until = clock(),
       slow_until = clock()
 where c.platform_id = $1
   and c.reason = $2
   and c.errcode is null
   and c.closed_until > clock()
   and not exists (
         select
           from limit_setting s
           join process p on p.process_id = s.process_id
           join day_count d
             on d.platform_id = s.platform_id
            and d.endpoint = s.endpoint
            and d.day = (clock() at time zone 'Asia/Shanghai')::date
          where s.platform_id = c.platform_id
            and s.endpoint = c.endpoint
            and not s.shadow
            and s.per_day <= d.used
            and p.beat_at > clock() - interval '30 s')
