//! Promise 7: SIGTERM stops claiming at once, lets calls in flight finish, gives leases back, and ends in time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use wxpatrol::simulate::{Endpoint, Plan};

use crate::world::{Program, World, plan, until};

/// Enough merchants for a minute of work, with calls of one second under way.
async fn under_load() -> (World, Program) {
    let world = World::synced(Plan { phone_missing_share: 1.0, ..plan(400, 2) }).await;
    world.wechat.set_latency(Duration::from_secs(1));
    world.wechat.reset_counts();
    let once = world.spawn(&["--once"]);
    until("many calls are in flight", async || world.wechat.arrived(Endpoint::Checkmobile) > 40).await;
    (world, once)
}

#[tokio::test]
async fn sigterm_under_load_ends_in_time_with_every_lease_returned_and_every_answer_recorded() {
    let (world, once) = under_load().await;
    let told = Instant::now();
    once.signal(Signal::SIGTERM);
    let ended = once.ended().await;
    assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
    assert_eq!(ended.code, Some(1), "{}", ended.everything());
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where leased_by is not null").await, 0);
    assert_eq!(world.texts("select state from wxpatrol_data.run").await, ["interrupted"]);
    world.assert_every_run_adds_up().await;
    let done = "select count(*) from wxpatrol_data.item where check_name = 'phone' and outcome = 'done'";
    assert_eq!(
        world.count(done).await,
        i64::try_from(world.wechat.answered_well(Endpoint::Checkmobile).len()).unwrap()
    );
    assert_eq!(world.count("select count(*) from wxpatrol_data.intent where outcome = 'unknown'").await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.process").await, 0, "it says that it leaves");
}

#[tokio::test]
async fn what_was_interrupted_is_due_at_once_and_the_next_run_completes_it() {
    let (world, once) = under_load().await;
    once.signal(Signal::SIGINT);
    assert_eq!(once.ended().await.code, Some(1));
    world.wechat.set_latency(Duration::ZERO);
    world.once().await.assert_complete();
    let phones = "select count(*) from wxpatrol_data.item where check_name = 'phone' and outcome = 'done'";
    assert_eq!(world.count(phones).await, 400);
    assert_eq!((world.wechat.readout().asks, world.wechat.readout().asks_of_one_merchant_max), (400, 1));
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let (world, once) = under_load().await;
    world.wechat.set_latency(Duration::from_secs(9));
    until("slow calls are in flight", async || world.wechat.concurrent_calls_max() > 60).await;
    once.signal(Signal::SIGTERM);
    world.until("select exists (select from wxpatrol_data.process)").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    once.signal(Signal::SIGTERM);
    let told = Instant::now();
    assert_eq!(once.ended().await.code, Some(1));
    assert!(told.elapsed() < Duration::from_secs(2), "it took {:?}", told.elapsed());
}

#[tokio::test]
async fn the_unattended_program_ends_with_0_when_it_is_told_to() {
    let world = World::synced(plan(4, 1)).await;
    let unattended = world.spawn(&["run"]);
    world.until("select exists (select from wxpatrol_data.process where purpose = 'run')").await;
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.process").await, 0);
}

#[tokio::test]
async fn a_simulation_goes_on_though_nobody_reads_what_it_prints() {
    let world = World::new(plan(1, 0)).await;
    let (simulated, said) = world.spawn_unread(&["simulate", "--addr", "127.0.0.1:0"]).await;
    assert!(said.contains("listens"), "{said}");
    assert!(simulated.killed().await, "it lived until it was killed");
}
