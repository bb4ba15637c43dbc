//! Statements of several processes that cross: what one of them has not seen, another one sees to.

use std::time::Duration;

use super::*;
use crate::{
    domain::{CheckName, Kind},
    store::{
        coverage::{Closed, Closing},
        merchant_list::Given,
        merchants::MerchantRow,
        operator::HoldTarget,
        runs::{RunState, RunWish},
    },
};

const CONTEXT: RecordContext = RecordContext { platform: 1, run: None, patience: Patience(Duration::from_secs(60)) };

async fn waits(database: &TestDatabase) {
    let count = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let began = std::time::Instant::now();
    while sqlx::query_scalar::<_, i64>(count).fetch_one(&database.pool).await.unwrap() == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody waits for the other");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn reasons(database: &TestDatabase, check: &str) -> Vec<Option<String>> {
    sqlx::query_scalar("select reason from wxpatrol_data.item where check_name = $1 order by appid, counterpart")
        .bind(check)
        .fetch_all(&database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_wish_that_another_process_plans_hears_of_a_side_that_changed_meanwhile() {
    let (database, _) = seeded().await;
    say(&database.pool, "delete from wish where mini_program = 'wxmini2'; update merchant set withdrawn_at = clock() where appid = 'wxmini1'")
        .await;
    database.store.plan(CONTEXT, false).await.unwrap();
    assert_eq!(reasons(&database, "invite").await, [Some("mini_program_withdrawn".to_owned())]);
    say(&database.pool, "update wish set plan_stale = true").await;
    // The other one has looked at both sides, and writes what it saw.
    let mut other = database.pool.begin().await.unwrap();
    sqlx::query("select from wxpatrol_data.wish for update").execute(&mut *other).await.unwrap();
    say(&database.pool, "update merchant set withdrawn_at = null, plan_stale = true where appid = 'wxmini1'").await;
    let store = database.store.clone();
    let plans = tokio::spawn(async move { store.plan(CONTEXT, false).await.map(drop) });
    waits(&database).await;
    sqlx::query("update wxpatrol_data.wish set plan_stale = false").execute(&mut *other).await.unwrap();
    other.commit().await.unwrap();
    plans.await.unwrap().unwrap();
    assert_eq!(reasons(&database, "invite").await, [Some("awaiting_reading".to_owned())], "it sleeps for ever");
}

#[tokio::test]
async fn the_end_of_a_hold_meets_the_items_that_are_being_planned_under_it() {
    let database = mini_programs(1).await;
    let store = database.store.clone();
    let target = HoldTarget { appid: Some("wx0001".to_owned()), ..HoldTarget::default() };
    store.pause(1, std::slice::from_ref(&target), None, None, "a test").await.unwrap();
    // As planning does: it may write holds itself, and has seen this one.
    let mut planning = database.pool.begin().await.unwrap();
    sqlx::query("lock table wxpatrol_data.hold in row exclusive mode").execute(&mut *planning).await.unwrap();
    let item = "insert into wxpatrol_data.item (platform_id, appid, check_name, due_at, due_since, held)
                values (1, 'wx0001', 'callback', wxpatrol_data.clock(), wxpatrol_data.clock(), true)";
    sqlx::query(item).execute(&mut *planning).await.unwrap();
    let resumes = tokio::spawn(async move { store.resume(1, &[target], None, "a test").await });
    waits(&database).await;
    planning.commit().await.unwrap();
    assert_eq!(resumes.await.unwrap().unwrap(), 1);
    let held = "select count(*) from wxpatrol_data.item where held";
    assert_eq!(sqlx::query_scalar::<_, i64>(held).fetch_one(&database.pool).await.unwrap(), 0);
}

#[tokio::test]
async fn what_becomes_known_before_the_count_is_planned_and_counted_again() {
    let database = mini_programs(2).await;
    let store = &database.store;
    say(&database.pool, "update merchant set kind = 'unknown' where appid = 'wx0002'").await;
    let wish = RunWish {
        checks: vec![CheckName::Phone],
        merchants: None,
        all: false,
        dry_run: false,
        deadline: Duration::from_secs(60),
    };
    let run = store.open_run(1, &wish).await.unwrap();
    store.plan(CONTEXT, false).await.unwrap();
    let open = store.open_runs(1).await.unwrap();
    say(&database.pool, "update merchant set kind = 'mini_program', plan_stale = true where appid = 'wx0002'").await;
    let closing = Closing {
        state: RunState::Interrupted,
        reason: Some("a test"),
        left_because: Some("interrupted"),
        shut: &[],
        sure: true,
    };
    assert_eq!(store.close_run(1, &open[0], closing).await.unwrap(), Closed::NotYet);
    assert_eq!(store.run_state(run).await.unwrap().0, RunState::Open);
    store.plan(CONTEXT, false).await.unwrap();
    assert_eq!(store.close_run(1, &open[0], closing).await.unwrap(), Closed::Yes);
    let coverage = store.coverage(run).await.unwrap();
    assert!(coverage[0].adds_up() && coverage[0].total == 2, "{coverage:?}");
}

#[tokio::test]
async fn an_info_that_waits_for_an_event_to_be_kept_is_not_kept_over_it() {
    let database = mini_programs(1).await;
    let store = database.store.clone();
    let row = MerchantRow {
        appid: "wx0001".to_owned(),
        kind: Some(Kind::MiniProgram),
        permission_sets: Some(vec![33]),
        asked_at: Some(store.read_clock().await.unwrap()),
        ..MerchantRow::default()
    };
    let mut event = database.pool.begin().await.unwrap();
    sqlx::query("update wxpatrol_data.merchant set word_at = wxpatrol_data.clock(), permission_sets = '{33,49}'")
        .execute(&mut *event)
        .await
        .unwrap();
    let keeps = tokio::spawn(async move { store.keep_info(1, &[row], Given::default()).await });
    waits(&database).await;
    event.commit().await.unwrap();
    keeps.await.unwrap().unwrap();
    let sets: Vec<i32> = sqlx::query_scalar("select permission_sets from wxpatrol_data.merchant")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(sets, [33, 49]);
}
