//! Promise 6, the quiet way: connections that are half open. Nothing comes back on them, and nobody says so.

use std::time::Duration;

use sqlx::Connection as _;
use wxpatrol::{
    domain::CheckName,
    simulate::Endpoint,
    store::{Sealer, SealingKey, Store, StoreSettings},
};

use crate::world::{PATIENCE, World, plan, proxy::Proxy, until, wish};

const CHECKS: &[CheckName] = &[CheckName::Phone, CheckName::Ask, CheckName::Callback];
const DAY: Duration = Duration::from_secs(86_400);

/// A store that gives a silent Postgres up after a moment.
async fn impatient(url: &str, connections_max: u32) -> Store {
    let lease = Duration::from_secs(30);
    let settings = StoreSettings { connections_max, lease, answer_max: Duration::from_secs(8), purpose: "test" };
    let sealer = Sealer::new(&SealingKey::new(Box::new([7; 32])));
    Store::connect(url, &settings, Some(sealer)).await.unwrap()
}

#[tokio::test]
async fn a_statement_on_a_half_open_connection_ends_with_a_sentence_and_takes_no_place_in_the_pool_with_it() {
    let world = World::synced(plan(1, 1)).await;
    let (proxy, url) = Proxy::to_postgres(&world.database.url()).await;
    let store = impatient(&url, 2).await;
    let platform = store.platform(&world.wechat.plan().component_appid).await.unwrap();
    // More of them than the pool has places for.
    for turn in 1..=3 {
        let mut holder = world.database.pool.acquire().await.unwrap();
        let mut holding = holder.begin().await.unwrap();
        sqlx::query("select 1 from wxpatrol_data.platform for update").execute(&mut *holding).await.unwrap();
        let waits =
            [store.open_breaker(platform, None, "a test", false), store.open_breaker(platform, None, "a test", false)];
        let waits = futures_util::future::join_all(waits);
        let sticks = async {
            let blocked = "select count(*) = 2 from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock'";
            world.until(blocked).await;
            proxy.stick();
            until("both connections are half open", async || proxy.stuck() >= 2 * turn).await;
            proxy.heal();
        };
        let (waited, ()) = tokio::join!(tokio::time::timeout(PATIENCE, waits), sticks);
        for answer in waited.expect("a statement waits for ever") {
            let said = answer.unwrap_err().to_string();
            assert!(said.contains("no answer for 8 s"), "{said}");
        }
        holding.rollback().await.unwrap();
        until("Postgres answers again", async || store.read_clock().await.is_ok()).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_half_open_when_it_goes_back_takes_no_place_in_the_pool_with_it() {
    let world = World::new(plan(1, 1)).await;
    let (proxy, url) = Proxy::to_postgres(&world.database.url()).await;
    let store = impatient(&url, 1).await;
    for turn in 1..=3 {
        until("Postgres answers", async || store.read_clock().await.is_ok()).await;
        proxy.stick();
        until("the connection is half open", async || proxy.stuck() >= turn).await;
        assert!(store.read_clock().await.is_err());
        proxy.heal();
    }
    until("Postgres answers again", async || store.read_clock().await.is_ok()).await;
}

#[tokio::test]
async fn connections_to_postgres_that_are_half_open_in_mid_run_leave_nobody_out() {
    let world = World::synced(plan(300, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    world.watch().await;
    let (proxy, url) = Proxy::to_postgres(&world.database.url()).await;
    let mut app = world.app().await;
    app.store = impatient(&url, 6).await;
    app.store.read_clock().await.unwrap();
    let ready = app.ready().await.unwrap();
    let run = app.store.open_run(ready.platform.id, &wish(CHECKS)).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let sticks = async {
        for turn in 1..=3 {
            let calls = turn * 40;
            until("calls arrive", async || world.wechat.arrived(Endpoint::Checkmobile) > calls).await;
            let stuck = proxy.stuck();
            proxy.stick();
            until("connections are half open", async || proxy.stuck() > stuck).await;
            proxy.heal();
        }
    };
    let (ran, ()) = tokio::join!(world.finish(&app, &patrol, run), sticks);
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 300, "{ran:?}");
    assert_eq!(ran.of(CheckName::Callback).failed + ran.of(CheckName::Callback).deferred, 0, "{ran:?}");
    app.store.close().await;
    world.assert_every_run_adds_up().await;
    world.assert_promises(7 * DAY, &[(Endpoint::Checkmobile, 100)]).await;
}

#[tokio::test]
async fn connections_to_wechat_that_are_half_open_in_mid_run_leave_nobody_out() {
    let world = World::synced(plan(200, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    world.watch().await;
    let address = world.settings()["WXPATROL_WECHAT_BASE_URL"].trim_start_matches("http://").to_owned();
    let proxy = Proxy::to(address.trim_end_matches('/')).await;
    let world = world.with("WXPATROL_WECHAT_BASE_URL", &format!("http://{}", proxy.address()));
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    let run = app.store.open_run(ready.platform.id, &wish(CHECKS)).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let sticks = async {
        until("calls arrive", async || world.wechat.arrived(Endpoint::Checkmobile) > 60).await;
        proxy.stick();
        until("connections are half open", async || proxy.stuck() > 0).await;
        proxy.heal();
    };
    let (ran, ()) = tokio::join!(world.finish(&app, &patrol, run), sticks);
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 200, "{ran:?}");
    assert_eq!(ran.of(CheckName::Callback).failed + ran.of(CheckName::Callback).deferred, 0, "{ran:?}");
    app.store.close().await;
    world.assert_every_run_adds_up().await;
    world.assert_promises(7 * DAY, &[(Endpoint::Checkmobile, 100)]).await;
}

/// What the program itself does with its own patience of two minutes.
#[tokio::test]
#[ignore = "takes minutes; part of the long form"]
async fn long_form_the_program_ends_its_run_after_its_connections_to_postgres_were_half_open() {
    let world = World::synced(plan(200, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "50/s");
    world.watch().await;
    let (proxy, url) = Proxy::to_postgres(&world.database.url()).await;
    let own = world.settings()["DATABASE_URL"].clone();
    let world = world.with("DATABASE_URL", &url);
    let mut once = world.spawn(&["--once", "--check", "phone", "--check", "ask", "--check", "callback"]);
    until("calls arrive", async || world.wechat.arrived(Endpoint::Checkmobile) > 60).await;
    proxy.stick();
    proxy.heal();
    let began = std::time::Instant::now();
    while !once.is_over() {
        assert!(began.elapsed() < Duration::from_secs(600), "the program hangs");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ended = once.ended().await;
    eprintln!("the run ended with {:?} after {:?}", ended.code, began.elapsed());
    assert!(matches!(ended.code, Some(0 | 1)), "{}", ended.everything());
    let world = world.with("DATABASE_URL", &own);
    world.once_of(CHECKS).await.assert_complete();
    let done = "select count(*) from wxpatrol_data.item where check_name in ('phone', 'callback') and outcome in ('done', 'skipped')";
    assert_eq!(world.count(done).await, 400);
    world.assert_promises(7 * DAY, &[(Endpoint::Checkmobile, 50)]).await;
}
