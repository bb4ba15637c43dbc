//! Promise 6: connections cut, Postgres restarted, the pool starved in mid-run: the run ends complete all the same.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use sqlx::Connection as _;
use tokio::net::TcpStream;
use wxpatrol::{
    domain::CheckName,
    private_postgres::{Durability, Options, PrivatePostgres, Sources, Stop, Wanted},
    simulate::Endpoint,
};

use crate::{
    secrets::page,
    world::{World, free_address, plan, until, wish},
};

const CHECKS: &[CheckName] = &[CheckName::Phone, CheckName::Ask, CheckName::Callback];

/// Runs while `outage` happens once the work is under way.
async fn runs_through(world: &World, outage: impl AsyncFnOnce()) {
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    let run = app.store.open_run(ready.platform.id, &wish(CHECKS)).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let under_way = async {
        until("calls arrive", async || world.wechat.arrived(Endpoint::Checkmobile) > 60).await;
        outage().await;
    };
    let (ran, ()) = tokio::join!(world.finish(&app, &patrol, run), under_way);
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 300, "{ran:?}");
    assert_eq!(ran.of(CheckName::Callback).failed, 0, "{ran:?}");
    app.store.close().await;
    let pool = sqlx::PgPool::connect(&world.settings()["DATABASE_URL"]).await.unwrap();
    world.assert_promises_in(&pool, Duration::from_secs(7 * 86_400), &[(Endpoint::Checkmobile, 150)]).await;
}

async fn slow() -> World {
    let world = World::synced(plan(300, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "150/s");
    world.watch().await;
    world
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_in_mid_run_leave_nobody_out() {
    let world = slow().await;
    runs_through(&world, async || {
        for _ in 0..8 {
            let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                        where datname = current_database() and application_name = 'wxpatrol'";
            world.count(cut).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    })
    .await;
    world.assert_every_run_adds_up().await;
}

#[tokio::test]
async fn a_starved_pool_makes_the_run_slower_and_leaves_nobody_out() {
    let world = slow().await.with("WXPATROL_DB_CONNECTIONS_MAX", "2");
    runs_through(&world, async || {}).await;
    world.assert_every_run_adds_up().await;
}

#[tokio::test]
async fn a_postgres_that_is_restarted_in_mid_run_leaves_nobody_out() {
    // A server of its own: the one of the other tests must not go away under them, nor this one under another `cargo test`.
    // Its user may enter the folder, wherever the checkout lies.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let pid_file = data.join("pg/postmaster.pid");
    let start = move || {
        let options = Options { durability: Durability::Full, sources: Sources::MayInstall, wanted: Wanted::Any };
        PrivatePostgres::join_or_start(&data, options, &|line| eprintln!("{line}")).unwrap()
    };
    let server = Arc::new(tokio::task::spawn_blocking(start).await.unwrap());
    let mut admin = sqlx::PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql("create database restarted").execute(&mut admin).await.unwrap();
    let world = World::new(plan(300, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "150/s");
    let world = world.with("DATABASE_URL", &server.url("restarted"));
    world.sync().await;
    runs_through(&world, async || {
        let server = Arc::clone(&server);
        let restart = move || {
            server.restart(Stop::Fast).unwrap();
            server.restart(Stop::Immediate).unwrap();
        };
        tokio::task::spawn_blocking(restart).await.unwrap();
    })
    .await;
    drop(server);
    until("the server has ended, so that its folder can go", async || !pid_file.exists()).await;
}

#[tokio::test]
async fn a_worker_that_met_a_read_only_postgres_says_so_and_goes_on_by_itself_when_that_is_put_right() {
    let address = free_address();
    let world = slow().await.unattended_without_schedules().with("WXPATROL_STATUS_ADDR", &address);
    let unattended = world.spawn(&["run"]);
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let ready = async || page(&address, "/readyz").await;
    until("it can work", async || ready().await.starts_with("HTTP/1.1 200")).await;
    let platform = world.platform().await;
    let run = world.database.store.open_run(platform, &wish(CHECKS)).await.unwrap();
    until("calls arrive", async || world.wechat.arrived(Endpoint::Checkmobile) > 60).await;

    // As behind an address that leads to a replica for a while: every session that is opened now can only read.
    world.alter("set default_transaction_read_only = on").await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where datname = current_database() and application_name = 'wxpatrol'";
    world.count(cut).await;
    until("it says what it waits for", async || {
        let ready = ready().await;
        ready.starts_with("HTTP/1.1 503") && ready.contains("nothing can be written")
    })
    .await;

    // Nobody cuts the sessions that can only read.
    world.alter("reset default_transaction_read_only").await;
    world.until(&format!("select state = 'complete' from wxpatrol_data.run where run_id = '{run}'")).await;
    until("it can work again", async || ready().await.starts_with("HTTP/1.1 200")).await;
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let said = ended.stderr.matches("Postgres can be read and not written").count();
    assert_eq!(said, 1, "{}", ended.stderr);
    world.assert_every_run_adds_up().await;
    world.assert_promises(Duration::from_secs(7 * 86_400), &[(Endpoint::Checkmobile, 150)]).await;
}

#[tokio::test]
async fn a_login_that_may_only_read_is_refused_at_the_start_with_a_sentence() {
    let world = World::synced(plan(1, 1)).await;
    world.alter("set default_transaction_read_only = on").await;
    for command in ["run", "--once"] {
        let ended = world.program(&[command]).await;
        assert_eq!(ended.code, Some(2), "{command}: {}", ended.everything());
        assert!(ended.stderr.contains("read-only transaction"), "{command}: {}", ended.stderr);
    }
}
