-- The message-push configuration of each mini program as it is now.

create view wxpatrol.callback_current as
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
 order by p.component_appid, s.appid;
comment on view wxpatrol.callback_current is 'The message-push configuration of each mini program as last read.';
comment on column wxpatrol.callback_current.platform is 'The component''s appid.';
comment on column wxpatrol.callback_current.appid is 'The mini program.';
comment on column wxpatrol.callback_current.nickname is 'Its name; null: not known.';
comment on column wxpatrol.callback_current.state is 'configured, absent (WeChat answered well, nothing is configured) or not_applicable (no cloud development).';
comment on column wxpatrol.callback_current.since is 'The reading that first showed it.';
comment on column wxpatrol.callback_current.confirmed_at is 'The newest reading that showed it; null: the item is gone.';
comment on column wxpatrol.callback_current.container_enabled is 'Whether messages go to cloud hosting; null: not configured.';
comment on column wxpatrol.callback_current.container_env is 'The environment of cloud hosting; null: not configured.';
comment on column wxpatrol.callback_current.container_path is 'The path in the cloud-hosting service; null: not configured.';
comment on column wxpatrol.callback_current.function_enabled is 'Whether messages go to cloud functions; null: not configured.';
comment on column wxpatrol.callback_current.function_callbacks is 'How many message kinds are routed to cloud functions; null: not configured.';
comment on column wxpatrol.callback_current.config is 'The whole configuration in its canonical form; null: not configured.';
