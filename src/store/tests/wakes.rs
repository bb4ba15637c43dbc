//! A phone that was read wakes its merchant's ask, or puts it to sleep, with the record of the phone.

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::{Finding, Outcome, Settled, link::Seen, outcome::PhoneState},
    store::claim::Claim,
};

const LEASE: Duration = Duration::from_secs(60);
const CONTEXT: RecordContext = RecordContext { platform: 1, run: None, patience: Patience(LEASE) };

/// Mini programs whose phones are due, and whose asks are what a record may meet.
const ASKS: &str = "
    insert into platform (component_appid) values ('wxcomponent');
    insert into merchant (platform_id, appid, kind)
    select 1, appid, 'mini_program' from unnest('{wxcool,wxleased,wxmaximum,wxnew,wxsleeps,wxunpermitted,wxunwanted}'::text[]) appid;
    insert into item (platform_id, appid, check_name, due_at, due_since)
    select 1, appid, 'phone', clock(), clock() from merchant;
    insert into item (platform_id, appid, check_name, due_at, due_since, outcome, reason, attempts) values
        (1, 'wxcool', 'ask', clock() + interval '3 days', clock() + interval '3 days', 'done', null, 0),
        (1, 'wxleased', 'ask', 'infinity', 'infinity', 'skipped', 'phone_not_missing', 0),
        (1, 'wxmaximum', 'ask', 'infinity', 'infinity', 'skipped', 'maximum_reached', 0),
        (1, 'wxnew', 'ask', 'infinity', 'infinity', null, null, 0),
        (1, 'wxsleeps', 'ask', 'infinity', 'infinity', 'skipped', 'phone_not_missing', 2),
        (1, 'wxunpermitted', 'ask', 'infinity', 'infinity', 'skipped', 'permission', 0),
        (1, 'wxunwanted', 'ask', 'infinity', 'infinity', 'skipped', 'not_wanted', 0);
    update item set leased_until = clock() + interval '1 min', leased_by = '00000000-0000-0000-0000-000000000001'
     where appid = 'wxleased' and check_name = 'ask';
";

async fn phones(store: &Store) -> Vec<Claim> {
    store.claim(claim_of(CheckName::Phone, 100)).await.unwrap()
}

fn read(store: &Store, claim: &Claim, state: PhoneState) -> Settled {
    Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome: Outcome::Done { due_at: Some(store.now() + TimeDelta::days(1)) },
        call: None,
        finding: Some(Finding::Phone(state)),
        intent: None,
        free_at: None,
    }
}

/// An official account's pairs are read, and these are seen.
async fn links_read(store: &Store, seen: &[(&str, Seen)]) {
    let claim = store.claim(claim_of(CheckName::Links, 1)).await.unwrap().remove(0);
    let seen = seen.iter().map(|(appid, seen)| ((*appid).to_owned(), *seen)).collect();
    let finding = Some(Finding::Links { began_at: store.now(), seen });
    let settled = Settled { finding, ..read(store, &claim, PhoneState::Missing) };
    assert_eq!(store.record(CONTEXT, &[settled]).await.unwrap().written, [true]);
}

/// Whose asks are due, and that nothing of their last outcome is left on them.
async fn awake(database: &TestDatabase) -> Vec<String> {
    let due = "select appid from wxpatrol_data.item
                where check_name = 'ask' and due_at <= wxpatrol_data.clock() and due_since = due_at
                  and outcome is null and reason is null and attempts = 0
                order by appid";
    sqlx::query_scalar(due).fetch_all(&database.pool).await.unwrap()
}

#[tokio::test]
async fn a_missing_phone_wakes_the_ask_that_slept_for_want_of_one_and_no_other() {
    let database = TestDatabase::new().await;
    say(&database.pool, ASKS).await;
    let store = &database.store;
    let batch: Vec<Settled> = phones(store).await.iter().map(|claim| read(store, claim, PhoneState::Missing)).collect();
    assert_eq!(store.record(CONTEXT, &batch).await.unwrap().written, [true; 7]);
    assert_eq!(awake(&database).await, ["wxnew", "wxsleeps", "wxunwanted"]);
    let missing = "select count(*) from wxpatrol_data.phone where state = 'missing'";
    assert_eq!(sqlx::query_scalar::<_, i64>(missing).fetch_one(&database.pool).await.unwrap(), 7);
}

#[tokio::test]
async fn a_late_process_that_read_a_missing_phone_wakes_nobody() {
    let database = TestDatabase::new().await;
    say(&database.pool, ASKS).await;
    let late = phones(&database.store).await;
    database.advance(LEASE * 2).await;
    let next = database.another_store().await;
    assert_eq!(phones(&next).await.len(), late.len(), "the leases are over");
    let batch: Vec<Settled> = late.iter().map(|claim| read(&next, claim, PhoneState::Missing)).collect();
    assert_eq!(database.store.record(CONTEXT, &batch).await.unwrap().written, [false; 7]);
    assert_eq!(awake(&database).await, [""; 0]);
}

#[tokio::test]
async fn an_ask_at_a_maximum_that_was_raised_wakes_and_one_at_the_present_maximum_sleeps_on() {
    let database = TestDatabase::new().await;
    say(&database.pool, ASKS).await;
    say(
        &database.pool,
        "insert into phone (platform_id, appid, state, since, read_at) values (1, 'wxmaximum', 'missing', clock(), clock());
         insert into intent (platform_id, purpose, appid, number, made_at, deadline_at, process_id, outcome)
         select 1, 'ask', 'wxmaximum', number, clock(), clock(), '00000000-0000-0000-0000-000000000001', outcome
           from (values (1, 'made'), (2, 'unknown'), (3, 'not_made')) as t (number, outcome)",
    )
    .await;
    let store = &database.store;
    assert_eq!(store.wake_asks_below(1, Some(2)).await.unwrap(), 0);
    assert_eq!(awake(&database).await, [""; 0]);
    assert_eq!(store.wake_asks_below(1, Some(3)).await.unwrap(), 1);
    assert_eq!(awake(&database).await, ["wxmaximum"]);
    assert_eq!(store.wake_asks_below(1, None).await.unwrap(), 0, "it is awake");
}

#[tokio::test]
async fn a_phone_that_was_bound_since_the_last_reading_puts_the_ask_to_sleep() {
    let database = TestDatabase::new().await;
    say(&database.pool, ASKS).await;
    say(
        &database.pool,
        "update item set class = 'human', errcode = 50002 where appid = 'wxmaximum' and check_name = 'ask'",
    )
    .await;
    let store = &database.store;
    for state in [PhoneState::Missing, PhoneState::Bound] {
        say(&database.pool, "update item set due_at = clock() where check_name = 'phone'").await;
        let batch: Vec<Settled> = phones(store).await.iter().map(|claim| read(store, claim, state)).collect();
        assert_eq!(store.record(CONTEXT, &batch).await.unwrap().written, [true; 7]);
    }
    let asleep = "select appid from wxpatrol_data.item
                   where check_name = 'ask' and due_at = 'infinity' and reason = 'phone_not_missing'
                   order by appid";
    let asleep: Vec<String> = sqlx::query_scalar(asleep).fetch_all(&database.pool).await.unwrap();
    assert_eq!(
        asleep,
        ["wxcool", "wxleased", "wxmaximum", "wxnew", "wxsleeps", "wxunwanted"],
        "a leased ask is its holder's to settle"
    );
    let of_old = "select count(*) from wxpatrol_data.item where check_name = 'ask' and class is not null";
    let of_old: i64 = sqlx::query_scalar(of_old).fetch_one(&database.pool).await.unwrap();
    assert_eq!(of_old, 0, "an older refusal is no reason any more");
}

#[tokio::test]
async fn a_reading_wakes_the_invitation_of_a_pair_that_is_not_there_and_none_that_planning_bars() {
    let database = TestDatabase::new().await;
    say(
        &database.pool,
        "insert into platform (component_appid) values ('wxcomponent');
         insert into merchant (platform_id, appid, kind) values
             (1, 'wxoa', 'official_account'), (1, 'wxmini', 'mini_program'), (1, 'wxother', 'official_account'), (1, 'wxgone', 'mini_program');
         update merchant set withdrawn_at = clock() where appid = 'wxgone';
         insert into wish (platform_id, official_account, mini_program) values
             (1, 'wxoa', 'wxmini'), (1, 'wxoa', 'wxother'), (1, 'wxoa', 'wxgone')",
    )
    .await;
    let store = &database.store;
    store.plan(CONTEXT, false).await.unwrap();
    links_read(store, &[]).await;
    let invitations = "select counterpart || ' ' || coalesce(reason, 'due') from wxpatrol_data.item where check_name = 'invite' order by 1";
    let invitations: Vec<String> = sqlx::query_scalar(invitations).fetch_all(&database.pool).await.unwrap();
    assert_eq!(invitations, ["wxgone mini_program_withdrawn", "wxmini due", "wxother not_a_mini_program"]);
}

#[tokio::test]
async fn a_message_whose_bar_is_lifted_has_the_reading_that_wakes_it_made_again() {
    let database = TestDatabase::new().await;
    say(
        &database.pool,
        "insert into platform (component_appid) values ('wxcomponent');
         insert into merchant (platform_id, appid, kind) values
             (1, 'wxmini', 'mini_program'), (1, 'wxoa', 'official_account'), (1, 'wxwell', 'mini_program');
         insert into wish (platform_id, official_account, mini_program) values (1, 'wxoa', 'wxmini'), (1, 'wxoa', 'wxwell')",
    )
    .await;
    let store = &database.store;
    store.plan(CONTEXT, false).await.unwrap();
    // Read a moment ago; then the message alone was refused, and planning was not there before the refusal was overtaken.
    say(
        &database.pool,
        "update item set due_at = clock() + interval '1 day', due_since = due_at, outcome = 'done', reason = null
          where check_name in ('phone', 'callback', 'links');
         update item set due_at = 'infinity', outcome = 'skipped', reason = 'withdrawn'
          where check_name = 'ask' and appid = 'wxmini' or check_name = 'invite' and counterpart = 'wxmini';
         update merchant set plan_stale = true",
    )
    .await;
    store.plan(CONTEXT, false).await.unwrap();
    let due =
        "select appid || ' ' || check_name from wxpatrol_data.item where due_at <= wxpatrol_data.clock() order by 1";
    let due: Vec<String> = sqlx::query_scalar(due).fetch_all(&database.pool).await.unwrap();
    assert_eq!(due, ["wxmini phone", "wxoa links"]);
    let waiting =
        "select reason from wxpatrol_data.item where due_at = 'infinity' and appid in ('wxmini', 'wxoa') order by 1";
    let waiting: Vec<String> = sqlx::query_scalar(waiting).fetch_all(&database.pool).await.unwrap();
    assert_eq!(waiting, ["awaiting_reading", "awaiting_reading", "phone_not_missing"]);
}

#[tokio::test]
async fn no_reading_counts_as_not_showing_a_pair_whose_status_nobody_knows() {
    let database = TestDatabase::new().await;
    say(
        &database.pool,
        "insert into platform (component_appid) values ('wxcomponent');
         insert into merchant (platform_id, appid, kind) values
             (1, 'wxoa', 'official_account'), (1, 'wxmini', 'mini_program'), (1, 'wxgone', 'mini_program');
         update merchant set withdrawn_at = clock() where appid = 'wxgone';
         insert into wish (platform_id, official_account, mini_program) values (1, 'wxoa', 'wxmini'), (1, 'wxoa', 'wxgone')",
    )
    .await;
    let store = &database.store;
    store.plan(CONTEXT, false).await.unwrap();
    // A process that had claimed the invitation died; its lease is over.
    say(
        &database.pool,
        "update item set due_at = clock(), reason = null, outcome = null, leased_until = clock() - interval '1 s',
                         leased_by = '00000000-0000-0000-0000-000000000001'
          where check_name = 'invite' and counterpart = 'wxmini'",
    )
    .await;
    for (seen, stands) in [
        (&[][..], ["wxgone mini_program_withdrawn true", "wxmini due true"]),
        (
            &[("wxmini", Seen::Unnamed(77)), ("wxgone", Seen::Unnamed(77))],
            ["wxgone mini_program_withdrawn false", "wxmini due false"],
        ),
    ] {
        links_read(store, seen).await;
        let now = "select i.counterpart || ' ' || coalesce(i.reason, 'due') || ' ' || (l.read_at is not null)
                     from wxpatrol_data.item i
                     join wxpatrol_data.link l on l.official_account = i.appid and l.mini_program = i.counterpart
                    where i.check_name = 'invite' order by 1";
        let now: Vec<String> = sqlx::query_scalar(now).fetch_all(&database.pool).await.unwrap();
        assert_eq!(now, stands, "without a reading the gate of the intent refuses it");
        say(&database.pool, "update item set due_at = clock() where check_name = 'links'").await;
    }
}
