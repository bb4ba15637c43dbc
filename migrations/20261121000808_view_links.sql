-- Every pair that was ever wanted, and who must decide now.

create view wxpatrol.links as
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
 order by p.component_appid, l.official_account, l.mini_program;
comment on view wxpatrol.links is 'Every pair of official account and mini program that was ever wanted: its state, since when, and who must decide now.';
comment on column wxpatrol.links.platform is 'The component''s appid.';
comment on column wxpatrol.links.official_account is 'The official account, which invites.';
comment on column wxpatrol.links.official_account_nickname is 'Its name; null: not known.';
comment on column wxpatrol.links.mini_program is 'The mini program, which is invited.';
comment on column wxpatrol.links.mini_program_nickname is 'Its name; null: not known.';
comment on column wxpatrol.links.wanted is 'Whether an operator''s wish for the pair stands.';
comment on column wxpatrol.links.state is 'wanted, invited, waiting_official_account, waiting_mini_program, linked, refused, vanished, stale, blocked, deferred or unlinked.';
comment on column wxpatrol.links.since is 'When this state began.';
comment on column wxpatrol.links.invited_at is 'When the newest invitation was sent, or may have been; null: none was.';
comment on column wxpatrol.links.invite_confirmed is 'Whether an answer or a reading showed that the newest invitation arrived.';
comment on column wxpatrol.links.read_at is 'When WeChat''s list of links was last read for the pair; null: never.';
comment on column wxpatrol.links.deferred_until is 'Until when the quota of the month is used up; null: it is not.';
comment on column wxpatrol.links.errcode is 'WeChat''s code behind blocked; null: none.';
comment on column wxpatrol.links.reason is 'Why the pair is blocked, vanished or stale; null: it is not.';
comment on column wxpatrol.links.decider is 'Who must act now: official_account_admin, merchant_admin, operator, or whom the runbook names; null: nobody.';
