-- What is held now.

create view wxpatrol.holds as
select p.component_appid as platform,
       h.appid,
       h.check_name,
       h.endpoint,
       h.schedule,
       h.created_at as since,
       h.until,
       h.reason as note,
       h.created_by as held_by
  from wxpatrol_data.hold h
  join wxpatrol_data.platform p on p.platform_id = h.platform_id
 where h.until is null
    or h.until > (select m.now from wxpatrol_data.moment m)
 order by h.created_at, h.hold_id;
comment on view wxpatrol.holds is 'What is held now, longest first: since when, until when, why, and by whom.';
comment on column wxpatrol.holds.platform is 'The component''s appid.';
comment on column wxpatrol.holds.appid is 'The merchant that is held; null: all.';
comment on column wxpatrol.holds.check_name is 'The check that is held; null: all.';
comment on column wxpatrol.holds.endpoint is 'The endpoint that is held; null: none.';
comment on column wxpatrol.holds.schedule is 'The schedule whose ticks are skipped; null: none.';
comment on column wxpatrol.holds.since is 'Since when.';
comment on column wxpatrol.holds.until is 'When it ends by itself; null: by an operator''s word.';
comment on column wxpatrol.holds.note is 'Why; empty: nobody said.';
comment on column wxpatrol.holds.held_by is 'Who.';
