-- attention: a message whose answer was lost is not "retried", and an invitation that nobody wants any more is no trouble.
-- callback_current: a mini program without cloud development is confirmed by its readings, too, and never before it was first seen.
-- Half applied: the older views stay.

create or replace view trouble as
select p.platform_id, ''::text as appid, ''::text as counterpart, ''::text as check_name, ''::text as endpoint,
       'halted'::text as why, p.halted_at as since, p.halt_errcode as errcode, null::text as rid, p.halt_reason as detail
  from wxpatrol_data.platform p
 where p.halted_at is not null
union all
select p.platform_id, '', '', '', '', 'secret_missing', p.created_at, null, null, null
  from wxpatrol_data.platform p
 where p.secret_sealed is null
   and p.external_at is null
   and (p.named_at is null or p.named_at < (select m.now from wxpatrol_data.moment m) - interval '1 day')
union all
select p.platform_id, '', '', '', '', 'ticket_missing', p.created_at, null, null, null
  from wxpatrol_data.platform p
 where p.ticket_at is null
   and p.external_at is null
union all
select p.platform_id, '', '', '', '',
       case when p.ticket_at < (select m.now from wxpatrol_data.moment m) - interval '10 hours' then 'ticket_expiring' else 'ticket_old' end,
       p.ticket_at, null, null, null
  from wxpatrol_data.platform p
 where p.ticket_at < (select m.now from wxpatrol_data.moment m) - interval '1 hour'
union all
select c.platform_id, '', '', '', c.endpoint, 'endpoint_closed', c.since, c.errcode, null,
       c.endpoint || ': ' || c.reason
  from wxpatrol_data.closure c
 where c.closed_until > (select m.now from wxpatrol_data.moment m)
union all
-- What src/store/identity.rs holds, told by its reason.
select h.platform_id, '', '', h.check_name, '', 'database_restored', h.created_at, null, null, h.reason
  from wxpatrol_data.hold h
 where h.created_by = 'wxpatrol'
   and h.reason = 'the database was restored or failed over: compare the intents with reality, then resume'
   and h.check_name is not null
   and h.appid is null
   and (h.until is null or h.until > (select m.now from wxpatrol_data.moment m))
union all
select h.platform_id, case when count(*) = 1 then coalesce(min(h.appid), '') else '' end, '', coalesce(h.check_name, ''), '',
       'hold_old', min(h.created_at), null, null,
       concat_ws(', ', h.endpoint, case when count(*) > 1 then count(*) || ' holds' end, nullif(h.reason, ''), 'by ' || h.created_by)
  from wxpatrol_data.hold h
 where h.created_at < (select m.now from wxpatrol_data.moment m) - interval '30 days'
   and (h.until is null or h.until > (select m.now from wxpatrol_data.moment m))
   and not (h.created_by = 'wxpatrol'
            and h.reason = 'the database was restored or failed over: compare the intents with reality, then resume'
            and h.check_name is not null
            and h.appid is null)
 group by h.platform_id, h.check_name, h.endpoint, h.reason, h.created_by
union all
select f.platform_id, '', '', min(f.check_name), f.endpoint, 'unknown_errcode', min(f.failed_at), f.errcode,
       (array_agg(f.rid order by f.failed_at desc) filter (where f.rid is not null))[1],
       f.endpoint || ', seen ' || count(*) || ' times, last for ' || (array_agg(f.appid order by f.failed_at desc))[1]
  from wxpatrol_data.failure f
 where f.class = 'unknown'
   and f.errcode is not null
 group by f.platform_id, f.endpoint, f.errcode
union all
select m.platform_id, m.appid, '', '', '', 'withdrawn', m.withdrawn_at, null, null, null
  from wxpatrol_data.merchant m
 where m.withdrawn_at > (select t.now from wxpatrol_data.moment t) - interval '30 days'
union all
select c.platform_id, c.appid, '', '', '', case when c.appid = '' then 'component_token_lost' else 'token_lost' end,
       coalesce(c.lost_at,
                (select min(i.recorded_at)
                   from wxpatrol_data.item i
                  where i.platform_id = c.platform_id
                    and i.appid = c.appid
                    and i.reason = 'token_lost')),
       null, null, c.lost_reason
  from wxpatrol_data.credential c
  left join wxpatrol_data.merchant m on m.platform_id = c.platform_id and m.appid = c.appid
 where c.lost_reason is not null
   and m.withdrawn_at is null
   -- Until the list was read, nobody need authorize again; a list that can not be read for an hour is told all the same.
   and (c.appid = ''
        or c.lost_at is null
        or c.lost_at < (select t.now from wxpatrol_data.moment t) - interval '1 hour'
        or exists (select from wxpatrol_data.recovery r
                    where r.platform_id = c.platform_id
                      and r.complete_at >= c.lost_at))
union all
select t.platform_id, t.appid, '', t.check_name, '', t.why, t.since, null, null, t.detail
  from wxpatrol_data.token_trouble t
union all
-- Authorization events: a merchant came, its code was lost, and nothing else has brought its tokens since.
select e.platform_id, e.appid, '', '', 'api_query_auth', 'authorization_unfinished', e.event_at, null, null, e.reason
  from wxpatrol_data.authorization_event e
  join wxpatrol_data.merchant m on m.platform_id = e.platform_id and m.appid = e.appid and m.event_at = e.event_at
  join wxpatrol_data.platform p on p.platform_id = e.platform_id
  left join wxpatrol_data.credential c on c.platform_id = e.platform_id and c.appid = e.appid
 where e.state = 'failed'
   and m.withdrawn_at is null
   and p.external_at is null
   and c.refresh_sealed is null
   and c.lost_reason is null
union all
select i.platform_id, i.appid, '', min(i.check_name), wxpatrol_data.check_endpoint(min(i.check_name)), 'permission', min(i.recorded_at),
       min(i.errcode), min(i.rid), 'for ' || string_agg(distinct i.check_name, ', ' order by i.check_name)
  from wxpatrol_data.item i
 where i.outcome = 'skipped'
   and i.reason = 'permission'
 group by i.platform_id, i.appid
union all
select m.platform_id, m.appid, '', '', '', 'account_status', m.info_at, null, null, 'account_status ' || m.account_status
  from wxpatrol_data.merchant m
 where m.account_status not in (1, 18)
   and m.withdrawn_at is null
union all
select m.platform_id, m.appid, '', '', '', 'kind_unknown', m.known_at, null, null, null
  from wxpatrol_data.merchant m
 where m.kind = 'unknown'
   and m.withdrawn_at is null
   and (m.info_at is not null or m.info_tried_at is not null
        or m.known_at < (select t.now from wxpatrol_data.moment t) - interval '1 day')
union all
select i.platform_id, i.appid, '', 'ask', 'checkmobile',
       -- The asks that count, as intend_past.sql counts them: a bound phone starts afresh.
       case when exists (select
                           from wxpatrol_data.intent t
                          where t.platform_id = i.platform_id
                            and t.appid = i.appid
                            and t.purpose = 'ask'
                            and t.counterpart = ''
                            and t.outcome <> 'not_made'
                            and t.made_at > coalesce(f.bound_at, '-infinity'))
            then 'ask_exhausted' else 'ask_not_allowed' end,
       i.recorded_at, null, null,
       'no phone since ' || to_char(f.since at time zone 'Asia/Shanghai', 'YYYY-MM-DD')
  from wxpatrol_data.item i
  join wxpatrol_data.phone f on f.platform_id = i.platform_id and f.appid = i.appid and f.state = 'missing'
 where i.outcome = 'skipped'
   and i.reason = 'maximum_reached'
   and i.check_name = 'ask'
union all
select t.platform_id, t.appid, t.counterpart, t.purpose, wxpatrol_data.check_endpoint(t.purpose),
       case t.purpose when 'ask' then 'ask_unknown' else 'invite_unknown' end, t.made_at, t.errcode, null, 'number ' || t.number
  from wxpatrol_data.intent t
  left join wxpatrol_data.phone f on t.purpose = 'ask' and f.platform_id = t.platform_id and f.appid = t.appid
  left join wxpatrol_data.link l
    on t.purpose = 'invite' and l.platform_id = t.platform_id and l.official_account = t.appid and l.mini_program = t.counterpart
 where t.outcome = 'unknown'
   and t.deadline_at < (select m.now from wxpatrol_data.moment m)
   and (f.bound_at is null or f.bound_at <= t.made_at)
   -- What nobody wants any more is nobody's to follow.
   and (t.purpose = 'ask'
        or exists (select from wxpatrol_data.wish w
                    where w.platform_id = t.platform_id and w.official_account = t.appid and w.mini_program = t.counterpart))
   and not (l.invited_at is not null and l.invited_at >= t.made_at and (l.invite_confirmed or l.state = 'vanished'))
union all
select l.platform_id, l.official_account, l.mini_program, 'invite', 'wxamplink', 'link_' || l.state, l.since, l.errcode, null, l.reason
  from wxpatrol_data.link l
  join wxpatrol_data.wish w
    on w.platform_id = l.platform_id and w.official_account = l.official_account and w.mini_program = l.mini_program
 where l.state in ('refused', 'vanished', 'stale', 'blocked', 'unlinked')
union all
select i.platform_id, i.appid, i.counterpart, i.check_name, wxpatrol_data.check_endpoint(i.check_name), 'human', i.recorded_at,
       i.errcode, i.rid, i.reason
  from wxpatrol_data.item i
 where i.outcome = 'skipped'
   and i.class = 'human'
   and i.check_name <> 'invite'
union all
select i.platform_id, i.appid, i.counterpart, i.check_name, wxpatrol_data.check_endpoint(i.check_name), 'failed', i.recorded_at,
       i.errcode, i.rid, concat_ws(', ', i.reason, case when i.class <> i.reason then i.class end)
  from wxpatrol_data.item i
 where i.outcome = 'failed';

create or replace view wxpatrol.attention as
with advice (why, actor, what_zh, what_en) as (
  values
    ('halted', 'provider_engineer', '整个平台已停止:按原因检查第三方平台的配置、凭据与 IP 白名单;恢复后会自动试探一个商户并继续', 'Everything stands still: by the reason, check the platform''s settings, secret and IP allow-list; one merchant is tried from time to time, and work goes on by itself'),
    ('secret_missing', 'provider_engineer', '没有保存该平台的 AppSecret,也没有进程在环境变量中指定它:执行 wxpatrol platform add,不再使用则执行 wxpatrol platform disable', 'Its AppSecret is not stored and no process names it in its environment: run wxpatrol platform add, or wxpatrol platform disable when it is needed no more'),
    ('ticket_missing', 'provider_engineer', '尚未收到 component_verify_ticket:检查授权事件接收服务,或执行 wxpatrol ticket -', 'No component_verify_ticket has come yet: check the receiver of authorization events, or hand one over with wxpatrol ticket -'),
    ('ticket_old', 'provider_engineer', '微信已超过 1 小时没有推送 component_verify_ticket:检查授权事件接收服务', 'WeChat has pushed no component_verify_ticket for over an hour: check the receiver of authorization events'),
    ('ticket_expiring', 'provider_engineer', '微信已超过 10 小时没有推送 component_verify_ticket,12 小时后失效:立即检查授权事件接收服务,并启用推送', 'WeChat has pushed no component_verify_ticket for over ten hours, and it dies after twelve: check the receiver now and have the push started again'),
    ('component_token_lost', 'provider_engineer', '无法取得平台自身的令牌:检查 AppSecret 与 component_verify_ticket', 'The platform''s own token cannot be had: check its AppSecret and verify ticket'),
    ('endpoint_closed', 'nobody', '微信要求暂停调用该接口;到时会自动恢复,若反复出现请调低该接口的限速', 'WeChat told us to leave the endpoint alone; it reopens by itself. If it returns, lower the limit of the endpoint'),
    ('hold_old', 'operator', '暂停已超过 30 天:若不再需要,请执行 wxpatrol resume', 'Held for over 30 days: run wxpatrol resume if it is needed no more'),
    ('database_restored', 'operator', '数据库经过恢复或故障切换,备份之后发出的消息可能不在记录里,在此期间不再发送:把 wxpatrol report intents 与实际情况核对后,执行 wxpatrol resume --check ask --check invite', 'The database was restored or failed over, and messages that were sent may be missing from it, so none is sent: compare wxpatrol report intents with reality, then run wxpatrol resume --check ask --check invite'),
    ('unknown_errcode', 'provider_engineer', '错误码不在手册中:凭 rid 查询含义,并补充手册', 'The code is not in the runbook: look it up by its rid and add it'),
    ('withdrawn', 'operator', '商户已取消授权:如仍需服务,请商户重新授权', 'The merchant took its authorization back: if it is still served, have it authorize the platform again'),
    ('token_lost', 'merchant_admin', '商户的刷新令牌缺失或已失效:先执行 wxpatrol sync 从授权列表找回;若仍然缺失,请商户重新授权,或重新导入令牌', 'The merchant''s refresh token is missing or was refused for good: run wxpatrol sync to take a newer one from the authorizer list; if there is none, have it authorize again, or import the token anew'),
    ('token_contested', 'provider_engineer', '另一个系统正在刷新该商户的令牌,双方会互相使对方的令牌失效:停掉其中一个,或改用外部令牌(WXPATROL_TOKEN_URL 或 WXPATROL_TOKEN_SQL)', 'Another system is refreshing this merchant, and the two take each other''s tokens away: stop one of them, or take the tokens from it (WXPATROL_TOKEN_URL or WXPATROL_TOKEN_SQL)'),
    ('external_token_dead', 'provider_engineer', '外部令牌来源给出的令牌被微信拒绝,再次询问仍是同一个:检查保管令牌的系统是否还在刷新该商户', 'The external token source hands out a token that WeChat refuses, again and again: see that the system that keeps the tokens still refreshes this merchant'),
    ('external_token_missing', 'provider_engineer', '外部令牌来源没有该商户的令牌,或自称已过期:检查保管令牌的系统是否认识并刷新该商户', 'The external token source has no token of the merchant, or says itself that it is over: see that the system that keeps the tokens knows the merchant and refreshes it'),
    ('token_source_silent', 'provider_engineer', '外部令牌来源没有可用的应答:日志里有一句原因;检查该服务、地址与密钥,恢复后会自动继续', 'The external token source gives no usable answer: the log and `wxpatrol report failures` have the sentence. Check the service, its address and the bearer secret; work goes on by itself'),
    ('authorization_unfinished', 'operator', '商户已授权,但授权码未能换取令牌:执行 wxpatrol sync 从授权列表找回', 'The merchant authorized, but its code could not be exchanged for tokens: run wxpatrol sync to take them from the authorizer list'),
    ('permission', 'merchant_admin', '商户未授予所需权限集:请商户重新授权并勾选该权限集', 'The merchant has not granted the permission set: have it authorize again with the set ticked'),
    ('account_status', 'merchant_admin', '账号被冻结、封禁或注销:请商户在微信公众平台处理', 'The account is frozen, banned or cancelled: its administrator must settle that with WeChat'),
    ('kind_unknown', 'operator', '账号类型未知:执行 wxpatrol sync,或在导入时写明类型', 'The kind of account is not known, so no check applies: run wxpatrol sync, or name the kind in an import'),
    ('ask_exhausted', 'operator', '提醒次数已达上限而仍未绑定手机号:请直接联系商户,或执行 wxpatrol ask 再提醒一次', 'Asked as often as allowed and still no phone: talk to the merchant, or grant one more with wxpatrol ask'),
    ('ask_not_allowed', 'operator', '当时 WXPATROL_ASKS_MAX 不允许再提醒,也没有本次缺失手机号以来的提醒记录:请直接联系商户,或执行 wxpatrol ask 允许提醒一次', 'WXPATROL_ASKS_MAX allowed no further ask then, and none is on record since the phone went missing: talk to the merchant, or grant one with wxpatrol ask'),
    ('ask_unknown', 'operator', '提醒可能已发出也可能未发出(结果丢失),按已发出计算:如需再次提醒请执行 wxpatrol ask', 'The ask may or may not have been sent: the answer was lost, and it counts as sent. To be sure, talk to the merchant'),
    ('invite_unknown', 'operator', '邀请可能已发出也可能未发出(结果丢失):等待后续读取确认;若一直未见,请再次执行 wxpatrol want', 'The invitation may or may not have been sent: the next readings tell. If it never shows, want the pair again'),
    ('link_refused', 'operator', '对方管理员已拒绝关联:沟通后再次执行 wxpatrol want', 'An administrator refused the link: talk to them, then want the pair again'),
    ('link_vanished', 'operator', '邀请已消失(被拒绝、过期或从未送达):沟通后再次执行 wxpatrol want', 'The invitation is gone (declined, expired or never arrived): talk to them, then want the pair again'),
    ('link_stale', 'operator', '邀请长期无人处理:请联系对方管理员,再执行 wxpatrol want', 'Nobody decided the invitation in time: talk to the administrators, then want the pair again'),
    ('link_unlinked', 'operator', '已关联的一对被解除关联:如仍需要,请再次执行 wxpatrol want', 'A linked pair was unlinked by somebody: want it again if it is still wanted'),
    ('link_blocked', 'operator', '微信拒绝邀请:按错误码处理后再次执行 wxpatrol want', 'WeChat refuses the invitation: settle what the code says, then want the pair again'),
    ('human', 'operator', '需要人工处理:按错误码处理', 'A person must act: settle what the code says'),
    ('failed', 'provider_engineer', '检查失败,之后会重试:按错误码与 rid 排查', 'The check failed and will be tried afresh: look into it by the code and the rid')
)
select p.component_appid as platform,
       t.appid as subject,
       m.nickname,
       t.counterpart,
       t.check_name,
       t.why,
       t.since,
       t.errcode,
       t.rid,
       -- The code's own remedy speaks of a call that is repeated; a message whose answer was lost is not.
       case when t.why in ('ask_unknown', 'invite_unknown') then a.actor else coalesce(e.actor, g.actor, a.actor) end as actor,
       case when t.why in ('ask_unknown', 'invite_unknown') then a.what_zh else coalesce(e.remedy_zh, g.remedy_zh, a.what_zh) end as what_zh,
       case when t.why in ('ask_unknown', 'invite_unknown') then a.what_en else coalesce(e.remedy_en, g.remedy_en, a.what_en) end as what_en,
       coalesce(t.detail, e.meaning_en, g.meaning_en) as detail
  from wxpatrol_data.trouble t
  join wxpatrol_data.platform p on p.platform_id = t.platform_id and p.enabled
  left join wxpatrol_data.merchant m on m.platform_id = t.platform_id and m.appid = t.appid
  left join advice a on a.why = t.why
  left join wxpatrol_data.errcode e on e.errcode = t.errcode and e.endpoint = t.endpoint and e.endpoint <> ''
  left join wxpatrol_data.errcode g on g.errcode = t.errcode and g.endpoint = ''
 order by p.component_appid, t.appid <> '', t.since nulls first, t.appid, t.why, t.check_name, t.counterpart;

create or replace view wxpatrol.callback_current as
select p.component_appid as platform,
       s.appid,
       m.nickname,
       s.state,
       s.valid_from as since,
       -- The item is recorded in the transaction that opens the interval, a moment before it.
       case when i.appid is not null
            then greatest(s.valid_from,
                          case when s.state <> 'not_applicable' then i.done_at
                               when i.reason = 'not_applicable' then i.recorded_at end) end as confirmed_at,
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

comment on column wxpatrol.runs.state is 'open, buffered (waits for the last run of its schedule), complete, interrupted, halted, skipped or missed.';
comment on column wxpatrol.runs.duration_secs is 'Seconds from its beginning to its end, or until now while open; of a buffered one, how long it has waited.';
comment on column wxpatrol.merchants.token is 'ok, expired (the next call refreshes it), lost (attention says when a person must act), or none: wxpatrol keeps no token of it.';
comment on column link.invited_at is 'When the newest invitation was sent (or may have been), or was found waiting for a renewed wish.';
comment on column wxpatrol.links.invited_at is 'When the newest invitation was sent, or may have been, or was found waiting for a renewed wish; null: none was.';
