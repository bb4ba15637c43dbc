//! Promise 5: a process that was stopped past its lease and then goes on changes nothing.

use std::time::Duration;

use chrono::TimeDelta;
use nix::sys::signal::Signal;
use wxpatrol::{
    domain::{CheckName, Finding, Outcome, Settled, link::Patience, outcome::PhoneState},
    patrol::Until,
    simulate::Endpoint,
    store::{
        Store,
        claim::{Claim, ClaimWish, Losses},
        record::RecordContext,
    },
};

use crate::world::{World, plan, until, wish};

const LEASE: Duration = Duration::from_secs(30);

/// Merchants with due items and no engine at work.
async fn planned(mini_programs: u32) -> World {
    let world = World::synced(plan(mini_programs, 1)).await;
    world.database.store.plan(context(&world).await, false).await.unwrap();
    world
}

async fn context(world: &World) -> RecordContext {
    RecordContext { platform: world.platform().await, run: None, patience: Patience(LEASE) }
}

async fn claimed(world: &World, store: &Store, check: CheckName) -> Vec<Claim> {
    let platform = world.platform().await;
    let wish = ClaimWish {
        platform,
        check,
        gate: None,
        items_max: 100,
        merchants: None,
        lease: LEASE,
        losses: Losses::OnceAtMost,
        merchant_interval: Duration::ZERO,
    };
    store.claim(wish).await.unwrap()
}

fn read(store: &Store, claims: &[Claim], state: PhoneState) -> Vec<Settled> {
    let due_at = Some(store.now() + TimeDelta::days(1));
    let settled = |claim: &Claim| Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome: Outcome::Done { due_at },
        call: None,
        finding: Some(Finding::Phone(state)),
        intent: None,
        free_at: None,
    };
    claims.iter().map(settled).collect()
}

/// All that checks have written, as text.
async fn written(world: &World) -> Vec<String> {
    world
        .texts(
            "select t::text from wxpatrol_data.phone t union all select t::text from wxpatrol_data.callback_snapshot t
             union all select t::text from wxpatrol_data.callback_change t
             union all select t::text from wxpatrol_data.item t union all select t::text from wxpatrol_data.failure t
             order by 1",
        )
        .await
}

#[tokio::test]
async fn a_record_whose_lease_is_over_writes_nothing_even_if_nobody_else_came() {
    let world = planned(5).await;
    let store = &world.database.store;
    let claims = claimed(&world, store, CheckName::Phone).await;
    assert_eq!(claims.len(), 5);
    store.rehearse(LEASE + Duration::from_secs(1)).await.unwrap();
    let before = written(&world).await;
    let batch = read(store, &claims, PhoneState::Missing);
    let recorded = store.record(context(&world).await, &batch).await.unwrap();
    assert_eq!(recorded.written, [false; 5]);
    assert_eq!(written(&world).await, before);
}

#[tokio::test]
async fn a_record_whose_fence_is_old_writes_nothing_over_the_newer_one() {
    let world = planned(5).await;
    let (late, other) = (&world.database.store, world.database.another_store().await);
    let stale = claimed(&world, late, CheckName::Phone).await;
    late.rehearse(LEASE + Duration::from_secs(1)).await.unwrap();
    let fresh = claimed(&world, &other, CheckName::Phone).await;
    assert_eq!(fresh.len(), 5);
    // While the other still works, and after it has recorded.
    let recorded = late.record(context(&world).await, &read(late, &stale, PhoneState::Missing)).await.unwrap();
    assert_eq!(recorded.written, [false; 5]);
    let recorded = other.record(context(&world).await, &read(&other, &fresh, PhoneState::Bound)).await.unwrap();
    assert_eq!(recorded.written, [true; 5]);
    let before = written(&world).await;
    let recorded = late.record(context(&world).await, &read(late, &stale, PhoneState::Missing)).await.unwrap();
    assert_eq!(recorded.written, [false; 5]);
    assert_eq!(written(&world).await, before);
    assert_eq!(world.texts("select distinct state from wxpatrol_data.phone").await, ["bound"]);
}

#[tokio::test]
async fn one_stale_claim_drops_alone_out_of_its_batch() {
    let world = planned(5).await;
    let store = &world.database.store;
    let mut claims = claimed(&world, store, CheckName::Phone).await;
    claims[2].fence -= 1;
    let batch = read(store, &claims, PhoneState::Missing);
    let recorded = store.record(context(&world).await, &batch).await.unwrap();
    assert_eq!(recorded.written, [true, true, false, true, true]);
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 4);
}

#[tokio::test]
async fn a_program_that_was_stopped_past_its_lease_changes_nothing_when_it_goes_on() {
    let world = World::synced(plan(40, 1)).await.with("WXPATROL_LEASE", "30s");
    world.watch().await;
    world.wechat.set_latency(Duration::from_millis(400));
    let late = world.spawn(&["--once", "--check", "phone", "--check", "callback"]);
    until("many calls are in flight", async || world.wechat.arrived(Endpoint::Checkmobile) > 20).await;
    late.signal(Signal::SIGSTOP);
    world.wechat.set_latency(Duration::ZERO);
    world.database.advance(LEASE + Duration::from_secs(1)).await;
    // Another process does all of its work; both runs are open, and both are closed.
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    let run = app.store.open_run(ready.platform.id, &wish(&[CheckName::Phone, CheckName::Callback])).await.unwrap();
    app.patrol(&ready, true).work(Until::RunCloses(run)).await.unwrap();
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 40);
    let before = written(&world).await;
    late.signal(Signal::SIGCONT);
    let ended = late.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(written(&world).await, before);
    world.assert_every_run_adds_up().await;
    world.assert_promises(Duration::from_secs(7 * 86_400), &[]).await;
}
