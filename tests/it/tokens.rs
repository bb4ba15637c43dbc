//! Tokens that end in mid-run, and who refreshes them.

use std::time::Duration;

use nix::sys::signal::Signal;

use wxpatrol::{
    domain::{CheckName, Kind, link::Patience},
    simulate::{Endpoint, Oddity, Plan, Rule},
    store::{Sealer, SealingKey, merchants::MerchantRow, record::RecordContext, runs::RunWish, seal::Place},
};

use crate::world::{PATIENCE, Ran, World, plan, until, wish};

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
    world.wechat.set_latency(Duration::from_millis(20));
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
async fn three_processes_whose_merchants_lost_their_tokens_read_the_list_once() {
    let world = imported(plan(3_000, 0)).await;
    for merchant in 0..3_000 {
        world.wechat.authorize(&Plan::mini_program(merchant)).unwrap();
    }
    world.wechat.set_latency(Duration::from_millis(50));
    let world = by_three_processes(world, CheckName::Phone, async |_| {}).await;
    assert_eq!(
        world.count("select count(*) from wxpatrol_data.item where outcome = 'done' and check_name = 'phone'").await,
        3_000
    );
    // Six pages of five hundred, and one that is not full.
    let readings = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    assert!((6..=7).contains(&readings), "{readings} pages");
}

#[tokio::test]
async fn a_run_is_not_closed_while_another_process_reads_lost_tokens_back() {
    let world = World::synced(plan(5, 1)).await;
    let (platform, lost) = (world.platform().await, Plan::mini_program(2));
    // The other process has recorded the loss, and reads the list.
    world.wechat.authorize(&lost).unwrap();
    let app = world.app().await;
    app.store.plan(RecordContext { platform, run: None, patience: Patience(Duration::ZERO) }, false).await.unwrap();
    let lose = format!(
        "update wxpatrol_data.item set outcome = 'skipped', reason = 'token_lost', due_at = 'infinity', due_since = 'infinity',
                recorded_at = wxpatrol_data.clock() where appid = '{lost}' and check_name = 'phone';
         update wxpatrol_data.credential set lost_reason = 'refused', lost_at = wxpatrol_data.clock() where appid = '{lost}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lose)).execute(&world.database.pool).await.unwrap();
    let other = world.database.another_store().await;
    let reading = other.take_recovery(platform, Duration::ZERO, Duration::from_secs(3600)).await.unwrap().unwrap();
    let ready = app.ready().await.unwrap();
    let run = app.store.open_run(platform, &wish(&[CheckName::Phone])).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let brings_back = async {
        world
            .until("select count(*) = 4 from wxpatrol_data.item where check_name = 'phone' and outcome = 'done'")
            .await;
        // Every look is a chance to close the run too early.
        for _ in 0..50 {
            patrol.look();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let row = MerchantRow {
            appid: lost.clone(),
            refresh_token: Some(world.wechat.merchant_card(&lost).unwrap().refresh_token.into()),
            ..MerchantRow::default()
        };
        other.keep_merchants(platform, &[row], true).await.unwrap();
        other.prolong_recovery(reading, None).await.unwrap();
    };
    let (ran, ()) = tokio::join!(world.finish(&app, &patrol, run), brings_back);
    assert_eq!(ran.of(CheckName::Phone).done, 5, "{ran:?}");
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), 1, "the sync's reading alone");
}

#[tokio::test]
async fn a_loss_whose_process_died_before_it_read_the_list_is_recovered_by_another() {
    let world = World::synced(plan(4, 1)).await;
    let lost = Plan::mini_program(1);
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.authorize(&lost).unwrap();
    world.pass(Duration::from_secs(24 * 3600)).await;
    let lose = format!(
        "update wxpatrol_data.credential set lost_reason = 'refused', lost_at = wxpatrol_data.clock(), access_sealed = null,
                access_expires_at = null where appid = '{lost}';
         update wxpatrol_data.item set outcome = 'skipped', reason = 'token_lost', due_at = 'infinity', due_since = 'infinity'
          where appid = '{lost}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lose)).execute(&world.database.pool).await.unwrap();
    let ran = world.once_of(&[CheckName::Callback]).await;
    ran.assert_complete();
    assert_eq!(
        ran.of(CheckName::Callback).reasons.0.get("skipped").and_then(|skipped| skipped.get("token_lost")),
        None
    );
}

#[tokio::test]
async fn a_merchant_whose_refresh_token_was_never_stored_stands_in_the_attention_view() {
    let world = World::new(plan(3, 1)).await;
    world.wechat.hide_refresh_token(&Plan::mini_program(1), true).unwrap();
    world.sync().await;
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).skipped, 1);
    let told = "select subject || ': ' || detail from wxpatrol.attention where why = 'token_lost'";
    let expected = format!("{}: no refresh token is stored: run `wxpatrol sync` or import it", Plan::mini_program(1));
    assert_eq!(world.texts(told).await, [expected]);
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
}

#[tokio::test]
async fn merchants_that_authorized_anew_are_done_in_the_same_run_after_one_reading_of_the_list() {
    let world = World::synced(plan(8, 1)).await;
    let readings = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
    // Their stored refresh tokens are void from now on.
    for merchant in 1..4 {
        world.wechat.authorize(&Plan::mini_program(merchant)).unwrap();
    }
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 8);
    assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), readings + 1);
}

#[tokio::test]
async fn a_merchant_whose_token_is_lost_hurts_nobody_and_stands_in_the_attention_view() {
    let world = World::synced(plan(4, 1)).await;
    let lost = Plan::mini_program(2);
    world.wechat.script(Rule::new(Oddity::Errcode(61023)).on(Endpoint::ApiAuthorizerToken).of(lost.as_str())).unwrap();
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 3);
    assert_eq!(world.outcomes(CheckName::Phone).await[&lost], "skipped token_lost");
    let told = format!("select count(*) from wxpatrol.attention where why = 'token_lost' and subject = '{lost}'");
    assert_eq!(world.count(&told).await, 1);
}

/// These merchants authorize anew, and the tokens that are stored of them are refused from now on.
fn authorize_anew(world: &World, merchants: std::ops::Range<u32>) {
    world.wechat.expire_all_tokens();
    for merchant in merchants {
        world.wechat.authorize(&Plan::mini_program(merchant)).unwrap();
    }
}

/// One run of the phones of all merchants; the time that only a rest between two readings of the list takes is passed.
async fn all_phones(world: &World) -> Ran {
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    let all = RunWish { all: true, ..wish(&[CheckName::Phone]) };
    let run = app.store.open_run(ready.platform.id, &all).await.unwrap();
    let patrol = app.patrol(&ready, false);
    let rests_pass = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if patrol.progress().waiting().is_some_and(|what| what.contains("authorizer list")) {
                world.pass(Duration::from_secs(5)).await;
            }
        }
    };
    let ran = tokio::select! {
        ran = world.finish(&app, &patrol, run) => ran,
        () = rests_pass => unreachable!("it never ends"),
    };
    app.store.close().await;
    ran
}

#[tokio::test]
async fn merchants_that_authorized_anew_right_after_a_reading_of_the_list_are_recovered_by_the_next() {
    let world = World::synced(plan(20, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    for turn in 1..=3 {
        let readings = world.wechat.arrived(Endpoint::ApiGetAuthorizerList);
        authorize_anew(&world, 0..20);
        let ran = all_phones(&world).await;
        ran.assert_complete();
        assert_eq!(ran.of(CheckName::Phone).done, 20, "{turn}: {ran:?}");
        assert_eq!(world.wechat.arrived(Endpoint::ApiGetAuthorizerList), readings + 1, "{turn}: one reading for all");
    }
    // And one alone.
    authorize_anew(&world, 7..8);
    assert_eq!(all_phones(&world).await.of(CheckName::Phone).done, 20);
}

#[tokio::test]
async fn a_merchant_is_not_declared_lost_while_the_list_can_not_be_read() {
    let world = World::synced(plan(4, 1)).await;
    let anew = Plan::mini_program(2);
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.script(Rule::new(Oddity::HttpStatus(502)).on(Endpoint::ApiGetAuthorizerList)).unwrap();
    authorize_anew(&world, 2..3);
    let ran = all_phones(&world).await;
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Phone).done, ran.of(CheckName::Phone).deferred), (3, 1), "{ran:?}");
    assert_eq!(world.outcomes(CheckName::Phone).await[&anew], "deferred token_recovering");
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'token_lost'").await, 0);
    world.wechat.clear_script();
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(all_phones(&world).await.of(CheckName::Phone).done, 4);
}

#[tokio::test]
async fn a_list_that_brings_refused_tokens_again_and_again_holds_no_run_open() {
    let world = World::synced(plan(3, 1)).await;
    let odd = Plan::mini_program(1);
    world.wechat.script(Rule::new(Oddity::Errcode(61023)).on(Endpoint::ApiAuthorizerToken).of(odd.as_str())).unwrap();
    let another = async {
        let mut known = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let refused = world.count("select max(losses)::int8 from wxpatrol_data.credential").await;
            if refused > known {
                known = refused;
                world.wechat.authorize(&odd).unwrap();
            }
        }
    };
    let ran = tokio::select! { ran = all_phones(&world) => ran, () = another => unreachable!("it never ends") };
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Phone).done, ran.of(CheckName::Phone).deferred), (2, 1), "{ran:?}");
}

/// All tokens are refused and no component token can be had: what a run of half a minute costs.
#[tokio::test]
async fn dead_tokens_that_can_not_be_replaced_cost_few_calls_and_are_replaced_when_they_can_be() {
    let world = World::synced(plan(400, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.expire_all_tokens();
    world.wechat.script(Rule::new(Oddity::HttpStatus(502)).on(Endpoint::ApiComponentToken)).unwrap();
    world.wechat.reset_counts();
    let ended = world.program(&["--once", "--all", "--check", "phone", "--deadline", "30s"]).await;
    let arrived = |endpoint| world.wechat.arrived(endpoint);
    let (calls, refreshes) = (arrived(Endpoint::Checkmobile), arrived(Endpoint::ApiAuthorizerToken));
    // Those that were under way when the third of them came back (64 slots), and one for each try of the platform's own token.
    assert!((1..=80).contains(&calls), "{calls} calls with dead tokens for 400 merchants: {}", ended.everything());
    assert!((1..=80).contains(&refreshes), "{refreshes} refreshes with a dead component token");
    assert!((2..=10).contains(&arrived(Endpoint::ApiComponentToken)), "its cool-down holds");
    world.assert_every_run_adds_up().await;
    let last = "from wxpatrol_data.coverage c join wxpatrol_data.run r using (run_id) where r.state = 'interrupted'";
    assert_eq!(world.count(&format!("select sum(deferred)::int8 {last}")).await, 400, "{}", ended.everything());
    assert_eq!(world.count(&format!("select count(*) {last} and reasons::text like '%leased%'")).await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where leased_by is not null").await, 0);

    world.wechat.clear_script();
    let ended = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let done = "select count(*) from wxpatrol_data.item where check_name = 'phone' and outcome = 'done'
                   and done_at > (select max(started_at) from wxpatrol_data.run)";
    assert_eq!(world.count(done).await, 400);
}

#[tokio::test]
async fn merchants_with_live_tokens_are_served_while_dead_ones_can_not_be_replaced() {
    let world = World::synced(plan(40, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    for merchant in 0..5 {
        let rule = Rule::new(Oddity::Errcode(40001)).on(Endpoint::Checkmobile).of(Plan::mini_program(merchant));
        world.wechat.script(rule).unwrap();
    }
    // Only what is bought with the platform's own token fails.
    world.wechat.script(Rule::new(Oddity::Errcode(40001)).on(Endpoint::ApiAuthorizerToken)).unwrap();
    world.wechat.script(Rule::new(Oddity::HttpStatus(502)).on(Endpoint::ApiComponentToken)).unwrap();
    let ended = world.program(&["--once", "--all", "--check", "phone", "--deadline", "60s"]).await;
    let served = "select (coverage.done, coverage.deferred)::text from wxpatrol_data.coverage
                    join wxpatrol_data.run r using (run_id) where r.state = 'interrupted'";
    assert_eq!(world.texts(served).await, ["(35,5)"], "{}", ended.everything());
    world.assert_every_run_adds_up().await;
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

/// Whether the stored token of the platform is known to be dead, to every process.
const KNOWN_DEAD: &str =
    "select count(*) = 1 from wxpatrol_data.credential where appid = '' and refused_version = version";

#[tokio::test]
async fn a_component_token_that_one_process_found_dead_is_called_with_by_no_other() {
    let world = World::synced(plan(60, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.expire_all_tokens();
    world.wechat.script(Rule::new(Oddity::HttpStatus(502)).on(Endpoint::ApiComponentToken)).unwrap();
    let first = world.spawn(&["--once", "--all", "--check", "phone"]);
    world.until(KNOWN_DEAD).await;
    first.signal(Signal::SIGTERM);
    let ended = first.ended().await;
    assert!(world.wechat.arrived(Endpoint::ApiAuthorizerToken) >= 3, "{}", ended.everything());
    world.wechat.reset_counts();
    let world = by_three_processes(world, CheckName::Phone, async |world| {
        // Whoever has no token for its call is settled without one.
        let settled = "select count(*) >= 5 from wxpatrol_data.item where reason = 'platform_token_refused'
                          and recorded_at > (select min(started_at) from wxpatrol_data.process)";
        world.until(settled).await;
        until("they try to have another one", async || world.wechat.arrived(Endpoint::ApiComponentToken) >= 2).await;
        let refused = world.wechat.arrived(Endpoint::ApiAuthorizerToken);
        assert_eq!(refused, 0, "calls with a token that is known to be dead");
        world.wechat.clear_script();
    })
    .await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where outcome = 'failed'").await, 0);
    world.assert_every_run_adds_up().await;
}

#[tokio::test]
async fn component_tokens_that_died_one_after_the_other_halt_no_process_that_knows_only_the_first() {
    let world = World::synced(Plan { token_overlap: Duration::ZERO, ..plan(12, 1) }).await;
    // This process has the first token at hand, and another one bought the second.
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    ready.wire.tokens().component(&ready.platform).await.unwrap();
    world.wechat.expire_all_tokens();
    world.once_of(&[CheckName::Callback]).await.assert_complete();
    world.database.advance(Duration::from_secs(60)).await;
    world.wechat.expire_all_tokens();
    let patrol = app.patrol(&ready, false);
    let all = RunWish { all: true, ..wish(&[CheckName::Callback]) };
    let run = app.store.open_run(ready.platform.id, &all).await.unwrap();
    let ran = world.finish(&app, &patrol, run).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Callback).deferred + ran.of(CheckName::Callback).failed, 0, "{ran:?}");
    assert_eq!(world.count("select count(*) from wxpatrol_data.component_refusal").await, 0, "nobody was odd");
}
