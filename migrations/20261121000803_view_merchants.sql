-- Each merchant in one line: who it is, and how each check of it stands.

create view wxpatrol.merchants as
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
 order by p.component_appid, m.appid;
comment on view wxpatrol.merchants is 'Every merchant that authorized the platform, withdrawn ones included, and how each check of it stands.';
comment on column wxpatrol.merchants.platform is 'The component''s appid.';
comment on column wxpatrol.merchants.appid is 'The merchant.';
comment on column wxpatrol.merchants.kind is 'mini_program, official_account, other, or unknown: WeChat was not asked yet, or did not tell.';
comment on column wxpatrol.merchants.nickname is 'Its name; null: not known.';
comment on column wxpatrol.merchants.principal is 'The legal entity behind it; null: not known.';
comment on column wxpatrol.merchants.account_status is 'WeChat''s account_status: 1 normal, 14 cancelled, 16 banned, 18 warned, 19 frozen; null: not known.';
comment on column wxpatrol.merchants.permission_sets is 'Granted permission sets, separated by spaces; null: not known, and then the checks are tried.';
comment on column wxpatrol.merchants.authorized_at is 'When it authorized the platform; null: not known.';
comment on column wxpatrol.merchants.known_at is 'Since when wxpatrol knows it.';
comment on column wxpatrol.merchants.withdrawn_at is 'When its withdrawal was noticed; null: still authorized.';
comment on column wxpatrol.merchants.held is 'Whether an operator''s hold names it.';
comment on column wxpatrol.merchants.phone is 'bound or missing, as last read; null: not read yet.';
comment on column wxpatrol.merchants.phone_since is 'When that was first read; null: not read yet.';
comment on column wxpatrol.merchants.callback is 'configured, absent or not_applicable, as last read; null: not read yet.';
comment on column wxpatrol.merchants.callback_since is 'When the present configuration was first read; null: not read yet.';
comment on column wxpatrol.merchants.token is 'ok, expired (the next call refreshes it), lost (a person must act), or none: wxpatrol keeps no token of it.';
comment on column wxpatrol.merchants.phone_done_at is 'When the check phone last ended well; null: never.';
comment on column wxpatrol.merchants.ask_done_at is 'When the check ask last ended well; null: never.';
comment on column wxpatrol.merchants.callback_done_at is 'When the check callback last ended well; null: never.';
comment on column wxpatrol.merchants.links_done_at is 'When the check links last ended well; null: never.';
comment on column wxpatrol.merchants.invite_done_at is 'When an invitation of this official account last ended well; null: never.';
