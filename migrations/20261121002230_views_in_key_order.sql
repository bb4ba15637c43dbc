-- Views with a row for each merchant or pair come in the order of their tables' keys, so that their first rows are found by an
-- index, where all rows were sorted before. Of several platforms the one that was added first comes first. Names,
-- columns and everything else are as they were, word for word. Half applied: apply again.

create or replace view wxpatrol.merchants as
select p.component_appid as platform,
       m.appid,
       m.kind,
       m.nickname,
       m.principal,
       m.account_status,
       array_to_string(m.permission_sets, ' ') as permission_sets,
       m.authorized_at,
       m.known_at,
       m.withdrawn_at,
       exists (select from wxpatrol_data.hold h
                where h.platform_id = m.platform_id
                  and h.appid = m.appid
                  and (h.until is null or h.until > (select t.now from wxpatrol_data.moment t))) as held,
       f.state as phone,
       f.since as phone_since,
       s.state as callback,
       s.valid_from as callback_since,
       case when c.lost_reason is not null then 'lost'
            when c.access_expires_at > (select t.now from wxpatrol_data.moment t) then 'ok'
            when c.access_expires_at is not null or c.refresh_sealed is not null then 'expired'
            else 'none' end as token,
       phone.done_at as phone_done_at,
       ask.done_at as ask_done_at,
       callback.done_at as callback_done_at,
       links.done_at as links_done_at,
       case when links.appid is not null
            then (select max(i.done_at)
                    from wxpatrol_data.item i
                   where i.platform_id = m.platform_id
                     and i.appid = m.appid
                     and i.check_name = 'invite') end as invite_done_at
  from wxpatrol_data.merchant m
  join wxpatrol_data.platform p on p.platform_id = m.platform_id
  left join wxpatrol_data.phone f on f.platform_id = m.platform_id and f.appid = m.appid
  left join wxpatrol_data.callback_snapshot s on s.platform_id = m.platform_id and s.appid = m.appid and s.valid_to is null
  left join wxpatrol_data.credential c on c.platform_id = m.platform_id and c.appid = m.appid
  left join wxpatrol_data.item phone
    on phone.platform_id = m.platform_id and phone.appid = m.appid and phone.check_name = 'phone' and phone.counterpart = ''
  left join wxpatrol_data.item ask
    on ask.platform_id = m.platform_id and ask.appid = m.appid and ask.check_name = 'ask' and ask.counterpart = ''
  left join wxpatrol_data.item callback
    on callback.platform_id = m.platform_id and callback.appid = m.appid and callback.check_name = 'callback' and callback.counterpart = ''
  left join wxpatrol_data.item links
    on links.platform_id = m.platform_id and links.appid = m.appid and links.check_name = 'links' and links.counterpart = ''
 order by m.platform_id, m.appid;

create or replace view wxpatrol.missing_phone as
select p.component_appid as platform,
       f.appid,
       m.nickname,
       m.principal,
       f.since,
       f.read_at,
       coalesce(t.asks, 0) as asks,
       t.last_asked_at,
       case when i.due_at < 'infinity' and i.leased_by is null then i.due_at end as next_ask_at,
       case when i.held then 'held' else i.reason end as reason
  from wxpatrol_data.phone f
  join wxpatrol_data.merchant m on m.platform_id = f.platform_id and m.appid = f.appid
  join wxpatrol_data.platform p on p.platform_id = f.platform_id
  left join wxpatrol_data.item i
    on i.platform_id = f.platform_id and i.appid = f.appid and i.check_name = 'ask' and i.counterpart = ''
  left join lateral (
       select count(*) filter (where t.made_at > coalesce(f.bound_at, '-infinity')) as asks,
              max(t.made_at) as last_asked_at
         from wxpatrol_data.intent t
        where t.platform_id = f.platform_id
          and t.appid = f.appid
          and t.purpose = 'ask'
          and t.outcome <> 'not_made') t on true
 where f.state = 'missing'
   and m.withdrawn_at is null
 order by f.platform_id, f.since, f.appid;

create or replace view wxpatrol.callback_current as
select p.component_appid as platform,
       s.appid,
       m.nickname,
       s.state,
       s.valid_from as since,
       i.done_at as confirmed_at,
       s.config -> 'container_config' -> 'enable' = 'true' as container_enabled,
       s.config -> 'container_config' ->> 'qbase_env' as container_env,
       s.config -> 'container_config' ->> 'qbase_container_path' as container_path,
       s.config -> 'function_config' -> 'enable' = 'true' as function_enabled,
       case when jsonb_typeof(s.config -> 'function_config' -> 'callbacks') = 'array'
            then jsonb_array_length(s.config -> 'function_config' -> 'callbacks') end as function_callbacks,
       s.config
  from wxpatrol_data.callback_snapshot s
  join wxpatrol_data.merchant m on m.platform_id = s.platform_id and m.appid = s.appid
  join wxpatrol_data.platform p on p.platform_id = s.platform_id
  left join wxpatrol_data.item i
    on i.platform_id = s.platform_id and i.appid = s.appid and i.check_name = 'callback' and i.counterpart = ''
 where s.valid_to is null
 order by s.platform_id, s.appid;

create or replace view wxpatrol.links as
select p.component_appid as platform,
       l.official_account,
       oa.nickname as official_account_nickname,
       l.mini_program,
       mp.nickname as mini_program_nickname,
       w.official_account is not null as wanted,
       l.state,
       l.since,
       l.invited_at,
       l.invite_confirmed,
       l.read_at,
       l.deferred_until,
       l.errcode,
       l.reason,
       case when w.official_account is null then null
            else case l.state
                   when 'waiting_official_account' then 'official_account_admin'
                   when 'waiting_mini_program' then 'merchant_admin'
                   when 'blocked' then coalesce(e.actor, g.actor, 'operator')
                   when 'refused' then 'operator'
                   when 'vanished' then 'operator'
                   when 'stale' then 'operator'
                   when 'unlinked' then 'operator'
                 end
       end as decider
  from wxpatrol_data.link l
  join wxpatrol_data.platform p on p.platform_id = l.platform_id
  left join wxpatrol_data.merchant oa on oa.platform_id = l.platform_id and oa.appid = l.official_account
  left join wxpatrol_data.merchant mp on mp.platform_id = l.platform_id and mp.appid = l.mini_program
  left join wxpatrol_data.wish w
    on w.platform_id = l.platform_id and w.official_account = l.official_account and w.mini_program = l.mini_program
  left join wxpatrol_data.errcode e on e.errcode = l.errcode and e.endpoint = 'wxamplink'
  left join wxpatrol_data.errcode g on g.errcode = l.errcode and g.endpoint = ''
 order by l.platform_id, l.official_account, l.mini_program;
