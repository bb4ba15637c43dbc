//! Promise 7: SIGTERM stops claiming at once, lets calls in flight finish, gives leases back, and ends in time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use wxpatrol::simulate::{Endpoint, Oddity, Plan, Rule};

use crate::world::{Program, World, plan, proxy::Proxy, until};

const DAY: Duration = Duration::from_secs(86_400);

fn calls(world: &World) -> u64 {
    world.wechat.arrived(Endpoint::Checkmobile) + world.wechat.arrived(Endpoint::Getcallbackconfig)
}

/// Enough merchants for a minute of work, with calls of one second under way.
async fn under_load() -> (World, Program) {
    let world = World::synced(Plan { phone_missing_share: 1.0, ..plan(400, 2) }).await;
    world.wechat.set_latency(Duration::from_secs(1));
    world.wechat.reset_counts();
    let once = world.spawn(&["--once"]);
    until("many calls are in flight", async || world.wechat.concurrent_calls_max() >= 64).await;
    (world, once)
}

#[tokio::test]
async fn sigterm_under_load_ends_in_time_with_every_lease_returned_and_every_answer_recorded() {
    let (world, once) = under_load().await;
    let told = Instant::now();
    once.signal(Signal::SIGTERM);
    let called = calls(&world);
    let ended = once.ended().await;
    // How long it took is for a person to read: a machine may be busy with other things.
    eprintln!("SIGTERM to exit with 64 calls of one second in flight: {:?}", told.elapsed());
    // Whoever had a permit by then may still have called; nobody was claimed for afterwards.
    assert!(calls(&world) - called <= 64, "{} calls after the signal", calls(&world) - called);
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
    world.assert_promises(7 * DAY, &[]).await;
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
    // These calls outlast any patience; whoever waits for them is seen to wait.
    for endpoint in [Endpoint::Checkmobile, Endpoint::Getcallbackconfig] {
        world.wechat.script(Rule::new(Oddity::Hang).on(endpoint)).unwrap();
    }
    let before = calls(&world);
    until("calls that hang are in flight", async || calls(&world) >= before + 64).await;
    once.signal(Signal::SIGTERM);
    // The first signal is heard: what waits for its call goes back.
    world.until("select count(*) <= 64 from wxpatrol_data.item where leased_by is not null").await;
    once.signal(Signal::SIGTERM);
    assert_eq!(once.ended().await.code, Some(1));
    let held = "select count(*) from wxpatrol_data.item where leased_until > wxpatrol_data.clock()";
    assert!(world.count(held).await > 0, "it waited for its calls");
}

#[tokio::test]
async fn a_signal_ends_the_program_also_while_its_refreshes_wait_for_a_postgres_that_is_away() {
    // Ten refreshes a second, and nobody has a token yet.
    let world = World::synced(plan(200, 2)).await.with("WXPATROL_LEASE", "30s");
    let world = world.with("WXPATROL_LIMIT_API_AUTHORIZER_TOKEN", "10/s");
    let world = world.with("WXPATROL_LIMIT_API_GET_AUTHORIZER_INFO", "10/s");
    let (proxy, url) = Proxy::to_postgres(&world.database.url()).await;
    let world = world.with("DATABASE_URL", &url);
    for (arguments, code) in [(&["--once"][..], 1), (&["sync"][..], 1)] {
        if arguments == ["sync"] {
            sqlx::query("update wxpatrol_data.merchant set info_at = null")
                .execute(&world.database.pool)
                .await
                .unwrap();
        }
        let (before, infos) =
            (world.wechat.arrived(Endpoint::ApiAuthorizerToken), world.wechat.arrived(Endpoint::ApiGetAuthorizerInfo));
        let program = world.spawn(arguments);
        until("it is under way", async || {
            world.wechat.arrived(Endpoint::ApiAuthorizerToken) > before + 20
                || world.wechat.arrived(Endpoint::ApiGetAuthorizerInfo) > infos + 5
        })
        .await;
        proxy.stick();
        until("its connections are half open", async || proxy.stuck() >= 1).await;
        program.signal(Signal::SIGTERM);
        let ended = program.ended().await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.everything());
        proxy.heal();
    }
}

#[tokio::test]
async fn a_signal_ends_a_command_that_waits_for_its_standard_input() {
    let world = World::synced(plan(1, 1)).await;
    let pool = &world.database.pool;
    for arguments in [&["import", "-", "--format", "csv"][..], &["want", "--from", "-"], &["ticket", "-"]] {
        // Those of the command before may stand for a moment yet.
        let before: String = sqlx::query_scalar("select clock_timestamp()::text").fetch_one(pool).await.unwrap();
        let (command, stdin) = world.spawn_waiting(arguments);
        let connected = "select exists (select from pg_stat_activity
                                         where datname = current_database() and application_name = 'wxpatrol' and backend_start >";
        world.until(&format!("{connected} '{before}')")).await;
        command.signal(Signal::SIGTERM);
        let ended = command.ended().await;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.everything());
        assert!(ended.stderr.contains("stopped by a signal"), "{arguments:?}: {}", ended.stderr);
        drop(stdin);
    }
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

#[tokio::test]
async fn a_run_goes_on_to_its_end_though_nobody_hears_what_it_logs() {
    let world = World::synced(plan(30, 2)).await.with("WXPATROL_LOG", "debug");
    let ended = world.spawn_unheard(&["--once"]).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stdout.contains("coverage of run"), "{}", ended.stdout);
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where leased_by is not null").await, 0);
    // Nor what it would say to a person.
    let held = world.spawn_unheard(&["pause", "--check", "ask", "--note", "a test"]).ended().await;
    assert_eq!(held.code, Some(0), "{}", held.everything());
}
