//! The view of broken promises is empty where they hold, and shows each of them when it is broken.

use super::*;

async fn broken(database: &TestDatabase) -> Vec<String> {
    let rows = "select promise || ', ' || rule from wxpatrol.broken_promises";
    sqlx::query_scalar(rows).fetch_all(&database.pool).await.unwrap()
}

/// One platform where all is well: a merchant with its items, a wanted pair, a run with its coverage, a first sync that waited for no
/// tick, messages of long ago.
const WELL: &str = "
    insert into platform (component_appid) values ('wxcomponent');
    insert into merchant (platform_id, appid, kind, plan_stale) values
        (1, 'wxmini', 'mini_program', false), (1, 'wxnew', 'mini_program', true), (1, 'wxoa', 'official_account', false);
    insert into wish (official_account, mini_program, plan_stale) values ('wxoa', 'wxmini', false);
    insert into process (process_id, version, purpose, started_at, beat_at) values
        ('00000000-0000-0000-0000-000000000001', '0', 'run', clock() - interval '1 day', clock());
    insert into item (platform_id, appid, check_name, counterpart, due_at, due_since, leased_by, leased_until) values
        (1, 'wxmini', 'phone', '', clock(), clock(), '00000000-0000-0000-0000-000000000001', clock() + interval '1 min'),
        (1, 'wxmini', 'ask', '', 'infinity', 'infinity', null, null),
        (1, 'wxmini', 'callback', '', clock(), clock(), '00000000-0000-0000-0000-000000000009', clock() - interval '1 min'),
        (1, 'wxoa', 'links', '', clock(), clock(), null, null),
        (1, 'wxoa', 'invite', 'wxmini', 'infinity', 'infinity', null, null);
    insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, state, ended_at) values
        ('00000000-0000-0000-0000-00000000000a', 1, 'phone', clock() - interval '2 h', '{phone}', clock() - interval '2 h', clock(), 'complete', clock() - interval '1 h'),
        ('00000000-0000-0000-0000-00000000000b', 1, 'phone', clock() - interval '1 h', '{phone}', clock() - interval '1 h', clock() + interval '1 h', 'open', null);
    insert into run (run_id, platform_id, schedule, fire_at, checks, started_at, deadline_at, state, ended_at)
    select '00000000-0000-0000-0000-00000000000c', 1, 'sync', m.now, '{}', m.now, m.now + interval '20 h', 'complete', m.now
      from (select clock() - interval '1 h' as now) m;
    insert into coverage (run_id, check_name, total, done, fresh, skipped, deferred, failed) values
        ('00000000-0000-0000-0000-00000000000a', 'phone', 2, 1, 0, 1, 0, 0);
    insert into schedule (platform_id, schedule, cadence, heard_until) values
        (1, 'phone', '0 * * * *', clock()), (1, 'sync', '30 2 * * *', clock() - interval '2 h');
    insert into intent (platform_id, purpose, appid, counterpart, number, made_at, deadline_at, outcome, process_id) values
        (1, 'ask', 'wxmini', '', 1, clock() - interval '9 days', clock() - interval '9 days', 'made', '00000000-0000-0000-0000-000000000001'),
        (1, 'ask', 'wxmini', '', 2, clock() - interval '2 days', clock() - interval '2 days', 'not_made', '00000000-0000-0000-0000-000000000001'),
        (1, 'ask', 'wxmini', '', 3, clock() - interval '2 days', clock() - interval '2 days', 'unknown', '00000000-0000-0000-0000-000000000001'),
        (1, 'invite', 'wxoa', 'wxmini', 1, clock() - interval '9 days', clock() - interval '9 days', 'made', '00000000-0000-0000-0000-000000000001'),
        (1, 'invite', 'wxoa', 'wxmini', 2, clock() - interval '2 days', clock() - interval '2 days', 'made', '00000000-0000-0000-0000-000000000001');
    insert into link_transition (platform_id, official_account, mini_program, moved_at, from_state, to_state, cause) values
        (1, 'wxoa', 'wxmini', clock() - interval '3 days', 'refused', 'wanted', 'an operator wants it');
";

#[tokio::test]
async fn where_all_is_well_no_promise_is_broken_and_each_shows_when_it_is() {
    for (rule, breaks) in [
        (None, "select 1"),
        (Some("1, an ended run counts each item of its scope once"), "update coverage set done = 2"),
        (Some("1, an ended run has the coverage of each of its checks"), "delete from coverage"),
        (Some("1, each planned mini program has its items"), "delete from item where check_name = 'callback'"),
        (Some("1, each planned wish has its items"), "delete from item where check_name = 'invite'"),
        (
            Some("1, an item with work left becomes due again"),
            "update item set due_at = 'infinity', leased_by = null, leased_until = null where check_name = 'phone'",
        ),
        (Some("2, nobody is asked twice within a day"), "update intent set made_at = clock() - interval '2 days 23 h' where purpose = 'ask' and number = 1;
             delete from intent where purpose = 'ask' and number = 2"),
        (Some("2, nobody is invited again without an operator's word"), "delete from link_transition"),
        // A view attention that forgets the asks whose answer was lost.
        (
            Some("2, who may not have been messaged stands in attention"),
            "create table troubles as select * from wxpatrol.attention where why <> 'ask_unknown';
             create or replace view wxpatrol.attention as
             select platform, subject, nickname, counterpart, check_name, why, since, errcode, rid, actor, what_zh, what_en, detail
               from troubles",
        ),
        (
            Some("4, two runs of a schedule are never open at a time"),
            "update run set ended_at = clock() - interval '30 min' where state = 'complete'",
        ),
        (
            Some("4, a tick is decided on before its schedule's mark has passed it"),
            "update schedule set heard_until = clock() - interval '90 min' where schedule = 'phone'",
        ),
        (
            Some("4, a tick is decided on before its schedule's mark has passed it"),
            "update run set fire_at = fire_at + interval '1 s' where schedule = 'sync'",
        ),
        (
            Some("6, a run ends within minutes of its deadline while a process works"),
            "update run set deadline_at = clock() - interval '6 min' where state = 'open'",
        ),
        (Some("7, who has left holds no lease"), "delete from process"),
    ] {
        let database = TestDatabase::new().await;
        say(&database.pool, WELL).await;
        say(&database.pool, breaks).await;
        assert_eq!(broken(&database).await, Vec::from_iter(rule), "{breaks}");
    }
}
