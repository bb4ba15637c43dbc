//! Statements that take several items do not wait for each other in a circle.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use strum::VariantArray as _;

use super::*;
use crate::{
    domain::{Finding, ItemKey, Outcome, Settled, outcome::PhoneState},
    store::claim::Claim,
};

const LEASE: Duration = Duration::from_secs(60);

/// So many mini programs, all of whose items are due.
async fn merchants(count: i32) -> TestDatabase {
    let database = mini_programs(count).await;
    say(
        &database.pool,
        "insert into item (platform_id, appid, check_name, due_at, due_since)
         select 1, appid, check_name, at, at
           from merchant, unnest(array['phone', 'ask', 'callback']) check_name, (select clock() as at) c",
    )
    .await;
    database
}

async fn claimed(store: &Store, check: CheckName, items_max: u32) -> Vec<Claim> {
    store.claim(claim_of(check, items_max)).await.unwrap()
}

const CONTEXT: RecordContext = RecordContext { platform: 1, run: None, patience: Patience(LEASE) };

/// Phones are missing, so that their asks wake; all is due again at once.
fn settled(store: &Store, claim: &Claim) -> Settled {
    Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome: Outcome::Done { due_at: Some(store.now() - TimeDelta::minutes(1)) },
        call: None,
        finding: (claim.key.check == CheckName::Phone).then_some(Finding::Phone(PhoneState::Missing)),
        intent: None,
        free_at: None,
    }
}

/// Somebody holds one item, as a claim or an operator's word does for a moment.
async fn held<'a>(database: &TestDatabase, appid: &str, check: &str) -> sqlx::Transaction<'a, sqlx::Postgres> {
    let mut transaction = database.pool.begin().await.unwrap();
    sqlx::query("select from wxpatrol_data.item where appid = $1 and check_name = $2 for update")
        .bind(appid)
        .bind(check)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    transaction
}

/// Waits until so many statements wait for locks.
async fn waiting(database: &TestDatabase, statements: i64) {
    let count = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(count).fetch_one(&database.pool).await.unwrap() < statements {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_record_and_the_beat_that_prolongs_the_same_leases_do_not_lock_each_other_out() {
    let database = merchants(9).await;
    let store = database.store.clone();
    let claims = claimed(&store, CheckName::Callback, 9).await;
    let leases: Vec<_> = claims.iter().map(|claim| Arc::clone(&claim.lease)).collect();
    // Calls end in no order; here in the one that is worst for the beat.
    let batch: Vec<Settled> = claims.iter().rev().map(|claim| settled(&store, claim)).collect();
    let middle = held(&database, "wx0005", "callback").await;
    let record = tokio::spawn({
        let store = store.clone();
        async move { store.record(CONTEXT, &batch).await }
    });
    waiting(&database, 1).await;
    let beat = tokio::spawn({
        let store = store.clone();
        async move { store.prolong(1, leases, LEASE).await }
    });
    // Either it waits as well, or it left out what others hold.
    tokio::select! {
        () = waiting(&database, 2) => {}
        () = async { while !beat.is_finished() { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
    }
    middle.rollback().await.unwrap();
    let prolonged = beat.await.unwrap().unwrap();
    assert_eq!(record.await.unwrap().unwrap().written, [true; 9]);
    assert_eq!(prolonged, 4, "those that nobody held then; the others were being recorded, or held");
}

#[tokio::test]
async fn a_lease_whose_item_is_held_for_a_moment_is_not_lost_and_goes_on_with_the_next_beat() {
    let database = merchants(3).await;
    let store = &database.store;
    let claims = claimed(store, CheckName::Callback, 3).await;
    let leases = || claims.iter().map(|claim| Arc::clone(&claim.lease)).collect::<Vec<_>>();
    let before: Vec<_> = claims.iter().map(|claim| claim.lease.until()).collect();
    let moment = held(&database, "wx0002", "callback").await;
    assert_eq!(store.prolong(1, leases(), LEASE).await.unwrap(), 2);
    assert_eq!(claims[1].lease.until(), before[1], "it ends when it would have");
    moment.rollback().await.unwrap();
    assert_eq!(store.prolong(1, leases(), LEASE).await.unwrap(), 3);
    assert!(claims[1].lease.until() > before[1]);
    let batch: Vec<Settled> = claims.iter().map(|claim| settled(store, claim)).collect();
    assert_eq!(store.record(CONTEXT, &batch).await.unwrap().written, [true; 3]);
}

#[tokio::test]
async fn a_record_takes_its_claims_and_what_they_wake_in_one_order_of_keys() {
    // As many as it takes for the record to go by its own order, and not by the index's.
    let database = merchants(500).await;
    say(&database.pool, "update item set due_at = 'infinity' where check_name = 'ask'; analyze item").await;
    let store = database.store.clone();
    let phones = claimed(&store, CheckName::Phone, 2).await;
    let callbacks = claimed(&store, CheckName::Callback, 2).await;
    // Each phone wakes its ask: the second one's stands between the first one's phone and its own.
    let batch = [settled(&store, &phones[1]), settled(&store, &callbacks[0]), settled(&store, &phones[0])];
    let last = held(&database, "wx0002", "phone").await;
    let record = tokio::spawn({
        let store = store.clone();
        async move { store.record(CONTEXT, &batch).await }
    });
    waiting(&database, 1).await;
    // As planning takes them.
    let planner = tokio::spawn({
        let pool = database.pool.clone();
        async move {
            let all =
                "select from wxpatrol_data.item order by platform_id, appid, check_name, counterpart for no key update";
            sqlx::query(all).execute(&pool).await
        }
    });
    waiting(&database, 2).await;
    last.rollback().await.unwrap();
    assert_eq!(record.await.unwrap().unwrap().written, [true; 3]);
    planner.await.unwrap().unwrap();
    let woken = "select appid from wxpatrol_data.item where check_name = 'ask' and due_at < 'infinity' order by 1";
    assert_eq!(sqlx::query_scalar::<_, String>(woken).fetch_all(&database.pool).await.unwrap(), ["wx0001", "wx0002"]);
}

#[tokio::test]
async fn two_processes_record_and_prolong_for_many_rounds_without_a_deadlock() {
    const ROUNDS: usize = 12;
    let database = merchants(200).await;
    say(&database.pool, "update item set due_at = 'infinity' where check_name = 'ask'; analyze item").await;
    let stores = [database.store.clone(), database.another_store().await];
    for round in 0..ROUNDS {
        let mut works = Vec::new();
        for store in &stores {
            let mut claims = claimed(store, CheckName::Phone, 100).await;
            claims.extend(claimed(store, CheckName::Callback, 100).await);
            assert_eq!(claims.len(), 200, "all is due again in round {round}");
            let leases: Vec<_> = claims.iter().map(|claim| Arc::clone(&claim.lease)).collect();
            for part in 0..2 {
                // As calls end: in no order.
                let mut batch: Vec<Settled> =
                    claims.iter().skip(part).step_by(2).map(|claim| settled(store, claim)).collect();
                let length = batch.len();
                batch = (0..length).map(|index| batch[(index * 37 + round) % length].clone()).collect();
                let store = store.clone();
                works.push(tokio::spawn(async move { store.record(CONTEXT, &batch).await.map(|_| ()) }));
            }
            let store = store.clone();
            works.push(tokio::spawn(async move { store.prolong(1, leases, LEASE).await.map(|_| ()) }));
        }
        for work in works {
            work.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn keys_have_one_order_in_the_program_and_in_postgres() {
    let database = TestDatabase::new().await;
    let mut keys = Vec::new();
    for appid in ["wxb", "wxB", "wxa", "wxa1", "小程序"] {
        for check in CheckName::VARIANTS {
            for counterpart in ["", "wxz", "wxA"] {
                let counterpart = counterpart.to_owned();
                keys.push(ItemKey { platform: 1, appid: appid.to_owned(), check: *check, counterpart });
            }
        }
    }
    keys.sort();
    let texts = |texts: fn(&ItemKey) -> &str| keys.iter().map(texts).map(str::to_owned).collect::<Vec<_>>();
    let order: Vec<i64> = sqlx::query_scalar(
        "select s.ordinal
           from unnest($1::text[], $2::text[], $3::text[]) with ordinality as s (appid, check_name, counterpart, ordinal)
          order by s.appid collate \"C\", s.check_name collate \"C\", s.counterpart collate \"C\"",
    )
    .bind(texts(|key| &key.appid))
    .bind(texts(|key| key.check.name()))
    .bind(texts(|key| &key.counterpart))
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(order, (1..=75).collect::<Vec<_>>());
}
