//! Promise 6: connections cut, Postgres restarted, the pool starved in mid-run: the run ends complete all the same.

use std::{sync::Arc, time::Duration};

use sqlx::Connection as _;
use wxpatrol::{
    domain::CheckName,
    private_postgres::{Durability, Options, PrivatePostgres, Sources, Stop, Wanted},
    simulate::Endpoint,
};

use crate::world::{World, plan, until, wish};

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
    // A server of its own: the one of the other tests must not go away under them.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-postgres-restarted");
    std::fs::create_dir_all(&folder).unwrap();
    let start = move || {
        let options = Options { durability: Durability::Full, sources: Sources::MayInstall, wanted: Wanted::Any };
        PrivatePostgres::join_or_start(&folder, options, &|line| eprintln!("{line}")).unwrap()
    };
    let server = Arc::new(tokio::task::spawn_blocking(start).await.unwrap());
    let mut admin = sqlx::PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql("drop database if exists restarted with (force)").execute(&mut admin).await.unwrap();
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
}
