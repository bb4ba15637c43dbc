-- What changed in the message-push configurations.

create view wxpatrol.callback_changes as
select p.component_appid as platform,
       c.changed_at,
       c.appid,
       m.nickname,
       c.field,
       c.old_value,
       c.new_value
  from wxpatrol_data.callback_change c
  join wxpatrol_data.platform p on p.platform_id = c.platform_id
  left join wxpatrol_data.merchant m on m.platform_id = c.platform_id and m.appid = c.appid
 order by c.changed_at desc, p.component_appid, c.appid, c.field;
comment on view wxpatrol.callback_changes is 'Every changed field of a message-push configuration, newest first.';
comment on column wxpatrol.callback_changes.platform is 'The component''s appid.';
comment on column wxpatrol.callback_changes.changed_at is 'The reading that first showed the new value.';
comment on column wxpatrol.callback_changes.appid is 'The mini program.';
comment on column wxpatrol.callback_changes.nickname is 'Its name; null: not known.';
comment on column wxpatrol.callback_changes.field is 'The changed field, such as container_config.enable.';
comment on column wxpatrol.callback_changes.old_value is 'Before, as JSON; null: the field was not there.';
comment on column wxpatrol.callback_changes.new_value is 'After, as JSON; null: the field is gone.';
