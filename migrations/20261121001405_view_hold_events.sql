-- What was said about holds.

create view wxpatrol.hold_events as
select p.component_appid as platform,
       e.at,
       e.event,
       e.appid,
       e.check_name,
       e.endpoint,
       e.schedule,
       e.until,
       e.note,
       e.said_by
  from wxpatrol_data.hold_event e
  join wxpatrol_data.platform p on p.platform_id = e.platform_id
 order by e.at desc, e.hold_event_id desc;
comment on view wxpatrol.hold_events is 'Every pause, renewal and resumption, newest first: what, when, why, and by whom.';
comment on column wxpatrol.hold_events.platform is 'The component''s appid.';
comment on column wxpatrol.hold_events.at is 'When.';
comment on column wxpatrol.hold_events.event is 'paused, renewed (another end or note), resumed (by somebody''s word), or ended (its time was over).';
comment on column wxpatrol.hold_events.appid is 'The hold''s merchant; null: all.';
comment on column wxpatrol.hold_events.check_name is 'The hold''s check; null: all.';
comment on column wxpatrol.hold_events.endpoint is 'The hold''s endpoint; null: none.';
comment on column wxpatrol.hold_events.schedule is 'The hold''s schedule; null: none.';
comment on column wxpatrol.hold_events.until is 'When the hold ends, or would have ended, by itself; null: by an operator''s word.';
comment on column wxpatrol.hold_events.note is 'Why; empty: nobody said.';
comment on column wxpatrol.hold_events.said_by is 'Who; the database''s user for plain SQL, wxpatrol for what ended by itself.';
