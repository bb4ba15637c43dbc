-- limits_heard.sql: what holds for every endpoint that anybody said something about, for one process.
-- $1 platform, $2 process
-- closed_secs: until the endpoint opens. held_back: calls of today that a limit in shadow would have held back. others: what other living processes are set to, when it differs.
select n.endpoint,
       case when c.closed_until > m.now then extract(epoch from c.closed_until - m.now)::float8 end as closed_secs,
       l.interval_secs as learned_secs,
       greatest(l.merchant_interval_secs,
                (select max(s.merchant_interval_secs)
                   from limit_setting s
                   join process p on p.process_id = s.process_id
                  where s.platform_id = $1
                    and s.endpoint = n.endpoint
                    and p.beat_at > m.now - interval '30 s')) as merchant_secs,
       l.merchant_interval_secs as learned_merchant_secs,
       coalesce(l.merchants, 0) as learned_from,
       coalesce((select d.held_back
                   from day_count d
                  where d.platform_id = $1
                    and d.endpoint = n.endpoint
                    and d.day = (m.now at time zone 'Asia/Shanghai')::date), 0) as held_back,
       (select string_agg(distinct s.setting, ' and ')
          from limit_setting s
          join process p on p.process_id = s.process_id
          join limit_setting mine
            on mine.platform_id = $1
           and mine.endpoint = s.endpoint
           and mine.process_id = $2
         where s.platform_id = $1
           and s.endpoint = n.endpoint
           and s.setting <> mine.setting
           and p.beat_at > m.now - interval '30 s') as others
  from (select clock() as now) m
 cross join (select endpoint from closure where platform_id = $1
              union
             select endpoint from learned where platform_id = $1
              union
             select endpoint from limit_setting where platform_id = $1 and process_id = $2) n
  left join closure c on c.platform_id = $1 and c.endpoint = n.endpoint
  left join learned l on l.platform_id = $1 and l.endpoint = n.endpoint
