//! Promise 1: no item in scope is left out. Totals come from merchants and wishes, the buckets add up to them, and what
//! counts as done is what the simulated WeChat says it answered well.

use std::{collections::BTreeSet, time::Duration};

use nix::sys::signal::Signal;
use wxpatrol::{
    domain::{CheckName, link::Patience},
    simulate::{Endpoint, Plan},
    store::record::RecordContext,
};

use crate::world::{World, plan, until};

/// The merchants of which a check was done.
async fn done(world: &World, check: CheckName) -> BTreeSet<String> {
    world.outcomes(check).await.into_iter().filter(|(_, outcome)| outcome == "done").map(|(appid, _)| appid).collect()
}

async fn assert_done_is_what_wechat_answered(world: &World) {
    let answered = |endpoint| world.wechat.answered_well(endpoint).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(done(world, CheckName::Phone).await, answered(Endpoint::Checkmobile));
    assert_eq!(done(world, CheckName::Callback).await, answered(Endpoint::Getcallbackconfig));
    assert_eq!(done(world, CheckName::Links).await, answered(Endpoint::Wxamplinkget));
}

#[tokio::test]
async fn every_merchant_and_every_wish_is_counted_once_and_done_is_what_wechat_answered() {
    let world = World::wanting(plan(40, 4), &[(0, 0), (0, 1), (1, 2), (2, 3)]).await;
    world.wechat.set_permission_sets(&Plan::mini_program(5), &[17]).unwrap();
    world.wechat.set_account_status(&Plan::mini_program(6), 19).unwrap();
    world.wechat.set_callback(&Plan::mini_program(7), None).unwrap();
    world.wechat.withdraw(&Plan::mini_program(8)).unwrap();
    world.wechat.withdraw(&Plan::official_account(2)).unwrap();
    let ran = world.once().await;
    ran.assert_complete();
    let totals = CheckName::ALL.iter().map(|check| ran.of(*check).total).collect::<Vec<_>>();
    assert_eq!(totals, [40, 40, 40, 3, 4], "phone, ask, callback, links, invite");
    world.assert_every_run_adds_up().await;
    assert_done_is_what_wechat_answered(&world).await;
    assert_eq!(ran.of(CheckName::Phone).done, 37);
    let skipped = &ran.of(CheckName::Phone).reasons.0["skipped"];
    assert_eq!(skipped, &serde_json::json!({"human": 1, "permission": 1, "withdrawn": 1}));
    assert_eq!(world.outcomes(CheckName::Callback).await[&Plan::mini_program(7)], "skipped not_applicable");
}

#[tokio::test]
async fn the_second_run_finds_everything_fresh_and_calls_nobody() {
    let world = World::wanting(plan(20, 2), &[(0, 0), (1, 1)]).await;
    world.once().await.assert_complete();
    world.wechat.reset_counts();
    let again = world.once_of(&[CheckName::Phone, CheckName::Callback, CheckName::Ask]).await;
    again.assert_complete();
    assert_eq!(again.of(CheckName::Phone).fresh, 20);
    assert_eq!(again.coverage.iter().map(|row| row.done).sum::<i64>(), 0);
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile) + world.wechat.arrived(Endpoint::Getcallbackconfig), 0);
}

#[tokio::test]
async fn a_run_that_is_killed_is_completed_by_the_next() {
    let world = World::wanting(plan(150, 3), &[(0, 0), (1, 1), (2, 2)]).await;
    let world = world.with("WXPATROL_LEASE", "30s").with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    let once = world.spawn(&["--once"]);
    world.until("select count(*) > 20 from wxpatrol_data.item where check_name = 'phone' and outcome = 'done'").await;
    assert!(once.killed().await, "the run was over before the kill");
    world.database.advance(Duration::from_secs(31)).await;
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    world.assert_every_run_adds_up().await;
    assert_done_is_what_wechat_answered(&world).await;
    assert_eq!(done(&world, CheckName::Phone).await.len(), 150);
    assert_eq!(world.wechat.readout().asks_of_one_merchant_max, 1);
}

#[tokio::test]
async fn three_runs_started_together_share_the_work_and_each_ends_with_a_true_statement() {
    let world = World::wanting(plan(120, 3), &[(0, 0), (1, 1), (2, 2)]).await;
    let world = world.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    let (first, second, third) =
        tokio::join!(world.program(&["--once"]), world.program(&["--once"]), world.program(&["--once"]));
    for ended in [first, second, third] {
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.run where state = 'complete'").await, 3);
    world.assert_every_run_adds_up().await;
    assert_done_is_what_wechat_answered(&world).await;
    let calls = world.wechat.arrived(Endpoint::Checkmobile);
    assert_eq!(calls, 120 + world.wechat.readout().asks as u64, "nobody was read twice");
    assert_eq!(world.wechat.arrived(Endpoint::Getcallbackconfig), 120);
}

#[tokio::test]
async fn a_process_that_joins_helps_with_a_run_that_is_not_its_own() {
    let world = World::synced(plan(150, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "15/s");
    let slow = world.spawn(&["--once", "--check", "phone"]);
    until("the first run calls", async || world.wechat.arrived(Endpoint::Checkmobile) > 5).await;
    let helper = world.spawn(&["--once", "--check", "phone"]);
    world
        .until("select count(*) > 1 from wxpatrol_data.process where last_claim_at is not null or purpose = 'once'")
        .await;
    slow.signal(Signal::SIGTERM);
    assert_eq!(slow.ended().await.code, Some(1));
    let ended = helper.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(done(&world, CheckName::Phone).await.len(), 150);
    world.assert_every_run_adds_up().await;
}

#[tokio::test]
async fn planning_waits_for_a_process_that_plans_the_same_merchants() {
    let world = World::synced(plan(5, 1)).await;
    let context = RecordContext { platform: world.platform().await, run: None, patience: Patience(Duration::ZERO) };
    let mut other = world.database.pool.begin().await.unwrap();
    sqlx::raw_sql("select from wxpatrol_data.merchant where plan_stale for update").execute(&mut *other).await.unwrap();
    let store = world.database.store.clone();
    let planning = tokio::spawn(async move { store.plan(context, false).await });
    let waits =
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    until("it waits, or has given up", async || {
        planning.is_finished() || world.count(&format!("select ({waits})::int::bigint")).await == 1
    })
    .await;
    other.rollback().await.unwrap();
    planning.await.unwrap().unwrap();
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where plan_stale").await, 0);
}
