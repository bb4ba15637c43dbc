-- What shows who lives and what kills: items that lose their process again and again, and how old good answers are.

alter table item add column abandoned smallint not null default 0;
comment on column item.abandoned is 'Times in a row that a lease ended without a word: the process died, or was stopped. From two on the item is claimed alone, at five it is parked for a day. 0 after any record.';

create view wxpatrol.ages as
select p.component_appid as platform,
       i.check_name,
       count(*) as items,
       count(*) filter (where i.done_at is null) as never_done,
       percentile_disc(0.5) within group (order by t.now - i.done_at) as p50,
       percentile_disc(0.95) within group (order by t.now - i.done_at) as p95,
       max(t.now - i.done_at) as oldest,
       count(*) filter (where i.abandoned + coalesce(i.leased_until <= t.now, false)::int >= 2) as suspects
  from (select (select m.now from wxpatrol_data.moment m) as now) t
 cross join wxpatrol_data.item i
  join wxpatrol_data.platform p on p.platform_id = i.platform_id
  join wxpatrol_data.merchant m on m.platform_id = i.platform_id and m.appid = i.appid and m.withdrawn_at is null
 where i.due_at < 'infinity'
 group by p.component_appid, i.check_name
 order by p.component_appid, i.check_name;
comment on view wxpatrol.ages is 'How old the last good answers of each check are, over the items that become due by themselves.';
comment on column wxpatrol.ages.platform is 'The component''s appid.';
comment on column wxpatrol.ages.check_name is 'The check.';
comment on column wxpatrol.ages.items is 'Items that become due by themselves; those that sleep until something wakes them are not counted.';
comment on column wxpatrol.ages.never_done is 'How many of them have never been done.';
comment on column wxpatrol.ages.p50 is 'Half of the others were done well within this time.';
comment on column wxpatrol.ages.p95 is '95 of 100 of them were done well within this time.';
comment on column wxpatrol.ages.oldest is 'The age of the oldest last good answer.';
comment on column wxpatrol.ages.suspects is 'Items that lost their process at least twice in a row: they are claimed alone.';
