//! Tokens that end in mid-run, and who refreshes them.

mod dead;
mod lost;

use std::time::Duration;

use nix::sys::signal::Signal;

use wxpatrol::{
    domain::{CheckName, Kind},
    simulate::{Endpoint, Oddity, Plan, Rule},
    store::{Sealer, SealingKey, merchants::MerchantRow, seal::Place},
};

use crate::world::{PATIENCE, World, plan, until, wish};

/// A platform whose merchants are imported, which is quicker than asking about each of many.
async fn imported(plan: Plan) -> World {
    let world = World::new(plan).await;
    let rows: Vec<MerchantRow> = (world.wechat.merchants().into_iter())
        .filter(|merchant| merchant.kind == wxpatrol::simulate::Kind::MiniProgram)
        .map(|merchant| MerchantRow {
            appid: merchant.appid,
            kind: Some(Kind::MiniProgram),
            permission_sets: Some(vec![49]),
            account_status: Some(1),
            refresh_token: Some(merchant.refresh_token.into()),
            ..MerchantRow::default()
        })
        .collect();
    world.database.store.keep_merchants(world.platform().await, &rows, true).await.unwrap();
    world
}

/// Stores a live token of every merchant and of the platform itself, as if all had been bought just now.
async fn bought_together(world: &World) {
    let platform = world.platform().await;
    let sealer = Sealer::new(&SealingKey::new(Box::new([7; 32])));
    let (mut appids, mut sealed) = (Vec::new(), Vec::new());
    for merchant in world.wechat.merchants() {
        let (token, _) = world.wechat.issue_live_token(&merchant.appid).unwrap();
        let place = Place { platform, appid: &merchant.appid, column: "access" };
        sealed.push(sealer.seal(place, &token.into()));
        appids.push(merchant.appid);
    }
    sqlx::query(
        "update wxpatrol_data.credential c
            set access_sealed = s.sealed, version = 1, access_expires_at = wxpatrol_data.clock() + interval '2 h'
           from unnest($1::text[], $2::bytea[]) as s (appid, sealed)
          where c.appid = s.appid",
    )
    .bind(appids)
    .bind(sealed)
    .execute(&world.database.pool)
    .await
    .unwrap();
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    ready.wire.tokens().component(&ready.platform).await.unwrap();
    app.store.close().await;
}

/// One run of a check, by three processes of the real program that end in order afterwards.
async fn by_three_processes(world: World, check: CheckName, meanwhile: impl AsyncFn(&World)) -> World {
    let run = world.database.store.open_run(world.platform().await, &wish(&[check])).await.unwrap();
    let world = world.unattended_without_schedules();
    let programs = [(); 3].map(|()| world.spawn(&["run"]));
    meanwhile(&world).await;
    // Thousands of merchants on a machine that does other things as well.
    let closed = format!("select count(*) from wxpatrol_data.run where run_id = '{run}' and state = 'complete'");
    let began = tokio::time::Instant::now();
    while world.count(&closed).await == 0 {
        assert!(began.elapsed() < 6 * PATIENCE, "the run does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for program in programs {
        program.signal(Signal::SIGTERM);
        let ended = program.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
    }
    world
}

#[tokio::test]
async fn five_thousand_tokens_that_die_at_once_cost_one_refresh_each_and_one_component_token() {
    let world = imported(Plan { token_overlap: Duration::ZERO, ..plan(5_000, 0) }).await;
    bought_together(&world).await;
    assert_eq!(world.wechat.component_token_fetches(), 1);
    world.wechat.set_latency(Duration::from_millis(60));
    let world = by_three_processes(world, CheckName::Callback, async |world| {
        let busy = "select count(distinct leased_by) from wxpatrol_data.item where leased_by is not null";
        let storm = async || world.count(busy).await == 3 && world.wechat.arrived(Endpoint::Getcallbackconfig) > 100;
        until("all three are at it", storm).await;
        world.wechat.expire_all_tokens();
    })
    .await;
    let refreshes = world.wechat.refreshes();
    assert!(refreshes.values().all(|refreshes| *refreshes == 1), "{refreshes:?}");
    assert!(refreshes.len() > 2_000, "only {} merchants met the storm", refreshes.len());
    assert_eq!(world.wechat.component_token_fetches(), 2);
    assert_eq!(world.count("select count(*) from wxpatrol_data.callback_snapshot").await, 5_000);
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where outcome = 'failed'").await, 0);
    world.assert_every_run_adds_up().await;
}

#[tokio::test]
async fn a_refresh_token_that_changes_with_each_refresh_is_followed_and_an_empty_one_changes_nothing() {
    let world = World::synced(Plan { token_overlap: Duration::ZERO, ..plan(20, 1) }).await;
    world.wechat.set_rotate_refresh_tokens(true);
    for empty in [false, true, false] {
        world.wechat.set_empty_refresh_tokens(empty);
        world.pass(Duration::from_secs(24 * 3600)).await;
        let ran = world.once_of(&[CheckName::Callback]).await;
        ran.assert_complete();
        assert_eq!((ran.of(CheckName::Callback).failed, ran.of(CheckName::Callback).total), (0, 20), "empty: {empty}");
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.credential where lost_reason is not null").await, 0);
    // One that has not opened cloud development is not asked about every day.
    let daily = world.wechat.refreshes().values().filter(|refreshes| **refreshes == 3).count();
    assert!(daily >= 18, "{:?}", world.wechat.refreshes());
    assert_eq!(world.count("select max(refresh_version) from wxpatrol_data.credential").await, 3);
}

#[tokio::test]
async fn merchants_that_withdraw_in_mid_run_are_skipped_and_their_tokens_go() {
    let world = World::synced(plan(60, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    let once = world.spawn(&["--once", "--check", "phone"]);
    until("the run calls", async || world.wechat.arrived(Endpoint::Checkmobile) > 10).await;
    for merchant in 50..60 {
        world.wechat.withdraw(&Plan::mini_program(merchant)).unwrap();
    }
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    world.assert_every_run_adds_up().await;
    let gone = world
        .count("select count(*) from wxpatrol_data.item where reason = 'withdrawn' and check_name = 'phone'")
        .await;
    assert!(gone > 0, "all were read before they withdrew");
    let kept =
        "select count(*) from wxpatrol_data.credential c join wxpatrol_data.merchant m using (platform_id, appid)
                 where m.withdrawn_at is not null and (c.access_sealed is not null or c.refresh_sealed is not null)";
    assert_eq!(world.count(kept).await, 0);
}

#[tokio::test]
async fn an_info_that_one_merchant_refuses_costs_one_component_token_over_many_syncs() {
    let world = World::synced(plan(30, 1)).await;
    let odd = Plan::mini_program(7);
    world.wechat.script(Rule::new(Oddity::Errcode(40001)).on(Endpoint::ApiGetAuthorizerInfo).of(odd.as_str())).unwrap();
    for _ in 0..4 {
        world.database.store.forget_old_info(world.platform().await, Duration::ZERO).await.unwrap();
        let synced = world.sync().await;
        assert_eq!((synced.informed, synced.failed), (30, 1));
        // The time between two purchases is over; the end of a token's life is not.
        world.database.advance(Duration::from_secs(600)).await;
        world.wechat.advance(Duration::from_secs(600));
    }
    assert_eq!(world.wechat.component_token_fetches(), 2);
}

#[tokio::test]
async fn a_merchant_that_another_system_refreshes_is_said_and_stands_in_the_attention_view() {
    let world = World::synced(Plan { token_overlap: Duration::ZERO, ..plan(6, 1) }).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    let contested = Plan::mini_program(3);
    for seen in 1..=2 {
        world.wechat.issue_live_token(&contested).unwrap();
        world.database.advance(Duration::from_secs(60)).await;
        let ended = world.program(&["--once", "--check", "callback", "--all"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
        assert!(ended.stderr.contains("another system is refreshing this merchant"), "{}", ended.stderr);
        let told = "select subject || ' ' || (detail ~ ('seen ' || {n})) || ' ' || actor || ' ' || (since is not null)
                      from wxpatrol.attention where why = 'token_contested'";
        let told = world.texts(&told.replace("{n}", &seen.to_string())).await;
        assert_eq!(told, [format!("{contested} true provider_engineer true")]);
    }
    // It goes away by itself when nobody takes tokens any more.
    world.database.advance(Duration::from_secs(8 * 86_400)).await;
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'token_contested'").await, 0);
}

#[tokio::test]
async fn tokens_that_only_grew_old_or_that_we_refreshed_ourselves_are_no_other_system_s_doing() {
    let world = World::synced(Plan { token_overlap: Duration::ZERO, ..plan(40, 1) }).await;
    let args = ["--once", "--check", "phone", "--check", "callback"];
    for _ in 0..2 {
        let (left, right) = tokio::join!(world.program(&args), world.program(&args));
        assert_eq!((left.code, right.code), (Some(0), Some(0)), "{}{}", left.everything(), right.everything());
        world.pass(Duration::from_secs(24 * 3600)).await;
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.credential where contested_count > 0").await, 0);
}

#[tokio::test]
async fn tokens_that_expire_in_mid_run_cost_one_refresh_each_and_no_result() {
    let world = World::synced(plan(150, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    let once = world.spawn(&["--once", "--check", "phone"]);
    until("the run calls", async || world.wechat.arrived(Endpoint::Checkmobile) > 40).await;
    world.wechat.expire_all_tokens();
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 150);
    assert!(world.wechat.refreshes().values().all(|refreshes| *refreshes <= 2), "{:?}", world.wechat.refreshes());
    world.assert_every_run_adds_up().await;
}

#[tokio::test]
async fn a_token_that_lives_only_seconds_is_refreshed_before_it_ends() {
    let short = Plan { token_lifetime: Duration::from_secs(20), token_overlap: Duration::ZERO, ..plan(30, 1) };
    let world = World::synced(short).await;
    world.once().await.assert_complete();
    world.pass(Duration::from_secs(24 * 3600)).await;
    let ran = world.once().await;
    ran.assert_complete();
    assert_eq!(ran.coverage.iter().map(|row| row.failed).sum::<i64>(), 0, "{ran:?}");
}

#[tokio::test]
async fn two_processes_refresh_one_merchant_s_token_once() {
    let world = World::synced(Plan { token_overlap: Duration::ZERO, ..plan(60, 1) }).await;
    world.wechat.set_latency(Duration::from_millis(30));
    let args = ["--once", "--check", "phone", "--check", "callback"];
    let (left, right) = tokio::join!(world.program(&args), world.program(&args));
    assert_eq!((left.code, right.code), (Some(0), Some(0)), "{}{}", left.everything(), right.everything());
    let refreshes = world.wechat.refreshes();
    assert_eq!(refreshes.len(), 60);
    assert!(refreshes.values().all(|count| *count == 1), "{refreshes:?}");
    // Who waited for the other one's refresh called nobody.
    assert_eq!(
        world.texts("select detail from wxpatrol.failures where detail like 'no token%'").await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn claims_that_wait_for_a_slow_limit_go_back_before_an_overdue_run_is_counted() {
    let world = World::synced(plan(30, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "30/min");
    let ended = world.program(&["--once", "--check", "phone", "--deadline", "5s"]).await;
    world.assert_every_run_adds_up().await;
    let leased = "select count(*) from wxpatrol_data.coverage where reasons::text like '%leased%'";
    assert_eq!(world.count(leased).await, 0, "{}", ended.everything());
    assert!(world.count("select min(deferred)::int8 from wxpatrol_data.coverage where check_name = 'phone'").await > 0);
}
