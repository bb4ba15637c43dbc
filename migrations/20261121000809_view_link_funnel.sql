-- How many pairs stand where on the way from wanted to linked.

create view wxpatrol.link_funnel as
select p.component_appid as platform,
       s.state,
       coalesce(l.pairs, 0) as pairs,
       coalesce(l.wanted, 0) as wanted,
       l.oldest_since
  from wxpatrol_data.platform p
 cross join (values (1, 'wanted'), (2, 'deferred'), (3, 'invited'), (4, 'waiting_official_account'), (5, 'waiting_mini_program'),
                    (6, 'linked'), (7, 'refused'), (8, 'vanished'), (9, 'stale'), (10, 'blocked'), (11, 'unlinked'))
         as s (place, state)
  left join (
       select l.platform_id,
              l.state,
              count(*) as pairs,
              count(w.official_account) as wanted,
              min(l.since) as oldest_since
         from wxpatrol_data.link l
         left join wxpatrol_data.wish w
           on w.platform_id = l.platform_id and w.official_account = l.official_account and w.mini_program = l.mini_program
        group by l.platform_id, l.state) l
    on l.platform_id = p.platform_id
   and l.state = s.state
 order by p.component_appid, s.place;
comment on view wxpatrol.link_funnel is 'How many pairs stand in each state, in the order of a pair''s life.';
comment on column wxpatrol.link_funnel.platform is 'The component''s appid.';
comment on column wxpatrol.link_funnel.state is 'The state.';
comment on column wxpatrol.link_funnel.pairs is 'Pairs in this state, those that nobody wants any more included.';
comment on column wxpatrol.link_funnel.wanted is 'Those among them whose wish stands.';
comment on column wxpatrol.link_funnel.oldest_since is 'Since when the oldest of them is in this state; null: there is none.';
