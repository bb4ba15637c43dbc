//! Tokens that end in mid-run, and who refreshes them.

use std::time::Duration;

use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, Oddity, Plan, Rule},
};

use crate::world::{World, plan, until};

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
