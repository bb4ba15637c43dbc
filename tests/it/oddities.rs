//! Promise 9: whatever WeChat answers, no merchant's oddity hurts another's result.

use std::time::Duration;

use serde_json::json;
use wxpatrol::{
    domain::CheckName,
    patrol::Until,
    simulate::{Endpoint, Oddity, Plan, Rule},
    store::runs::RunState,
};

use crate::world::{World, plan, wish};

const PHONE: &[CheckName] = &[CheckName::Phone];

/// What becomes of a reading that always meets an oddity.
const TABLE: [(Oddity, &str); 26] = [
    (Oddity::ErrcodeAsString, "done"),
    (Oddity::MissingErrcode, "done"),
    (Oddity::ExtraFields, "done"),
    (Oddity::WrongContentType, "done"),
    (Oddity::InvalidUtf8, "done"),
    (Oddity::RawControlCharacters, "done"),
    (Oddity::DelayMs(1500), "done"),
    (Oddity::Reset, "failed transient"),
    (Oddity::HttpStatus(502), "failed transient"),
    (Oddity::HttpStatus(404), "failed transient"),
    (Oddity::EmptyBody, "failed transient"),
    (Oddity::TruncatedJson, "failed transient"),
    (Oddity::Oversized, "failed transient"),
    (Oddity::Redirect, "failed transient"),
    (Oddity::Errcode(-1), "failed transient"),
    (Oddity::Errcode(-1000), "failed transient"),
    (Oddity::Errcode(61007), "skipped permission"),
    (Oddity::Errcode(48001), "skipped permission"),
    (Oddity::Errcode(61003), "skipped withdrawn"),
    (Oddity::Errcode(50002), "skipped human"),
    (Oddity::Errcode(45009), "deferred quota_day"),
    (Oddity::Errcode(45011), "deferred quota_minute"),
    (Oddity::Errcode(47001), "failed bug"),
    (Oddity::Errcode(123_456), "failed unknown"),
    (Oddity::Errcode(61004), "failed halt_code_alone"),
    (Oddity::Errcode(40001), "failed token_refused"),
];

/// Reads phones in this process until `seen` is over.
async fn at_work(world: &World, seen: impl Future<Output = ()>) {
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    app.store.open_run(ready.platform.id, &wish(PHONE)).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let work = tokio::spawn({
        let patrol = patrol.clone();
        async move { patrol.work(Until::Stopped).await }
    });
    seen.await;
    patrol.stop();
    work.await.unwrap().unwrap();
}

#[tokio::test]
async fn every_oddity_has_its_own_outcome_and_all_other_merchants_are_done() {
    let world = World::synced(plan(120, 1)).await;
    for (index, (oddity, _)) in (0..).zip(TABLE) {
        let odd = Rule::new(oddity).on(Endpoint::Checkmobile).of(Plan::mini_program(4 * index));
        world.wechat.script(odd).unwrap();
    }
    // One that hangs is waited for, to its deadline; it is enough to do that once.
    world.wechat.script(Rule::new(Oddity::Hang).on(Endpoint::Checkmobile).of(Plan::mini_program(1)).times(1)).unwrap();
    world.once_of(PHONE).await.assert_complete();
    let outcomes = world.outcomes(CheckName::Phone).await;
    let odd: Vec<String> = (0..).zip(TABLE).map(|(index, _)| Plan::mini_program(4 * index)).collect();
    for (appid, (oddity, expected)) in odd.iter().zip(TABLE) {
        assert_eq!(outcomes[appid], expected, "{oddity:?}");
    }
    for (appid, outcome) in outcomes.iter().filter(|(appid, _)| !odd.contains(appid)) {
        assert_eq!(outcome, "done", "{appid} was hurt");
    }
    world.assert_every_run_adds_up().await;
    assert_eq!(world.wechat.readout().redirects_followed, 0);
}

#[tokio::test]
async fn a_text_that_postgres_can_not_hold_fails_alone() {
    let world = World::synced(plan(60, 1)).await;
    for program in [3, 30, 31] {
        let data = json!({"env": "fake\u{0}env", "callbacks": [], "container_config": {"enable": true}});
        world.wechat.set_callback(&Plan::mini_program(program), Some(data)).unwrap();
    }
    for program in (0..60).filter(|program| ![3, 30, 31].contains(program)) {
        world.wechat.change_callback(&Plan::mini_program(program)).unwrap();
    }
    world.once_of(&[CheckName::Callback]).await.assert_complete();
    let outcomes = world.outcomes(CheckName::Callback).await;
    for program in [3, 30, 31].map(Plan::mini_program) {
        assert!(["done", "failed unstorable"].contains(&outcomes[&program].as_str()), "{}", outcomes[&program]);
    }
    let hurt: Vec<_> =
        outcomes.values().filter(|outcome| !["done", "failed unstorable"].contains(&outcome.as_str())).collect();
    assert!(hurt.iter().all(|outcome| *outcome == "skipped not_applicable"), "{hurt:?}");
    assert!(outcomes.values().filter(|outcome| *outcome == "done").count() > 40);
}

#[tokio::test]
async fn a_merchant_that_is_always_told_to_slow_down_delays_nobody() {
    let world = World::synced(plan(50, 1)).await;
    let slow = Plan::mini_program(7);
    world.wechat.script(Rule::new(Oddity::Errcode(45011)).on(Endpoint::Checkmobile).of(slow)).unwrap();
    // Postgres's clock is left alone: nobody else waits for the next minute.
    at_work(&world, async {
        world
            .until("select count(*) = 49 from wxpatrol_data.item where check_name = 'phone' and outcome = 'done'")
            .await;
        assert_eq!(world.count("select count(*) from wxpatrol_data.closure").await, 0);
    })
    .await;
}

#[tokio::test]
async fn merchants_that_never_answer_hold_a_slot_no_longer_than_their_deadline_and_everybody_is_done() {
    let world = World::synced(plan(60, 1)).await.with("WXPATROL_CALLS_MAX", "8");
    // The first in the order of claims, and twice as many as there are slots.
    for program in 0..16 {
        let rule = Rule::new(Oddity::Hang).on(Endpoint::Checkmobile).of(Plan::mini_program(program));
        world.wechat.script(rule.times(1)).unwrap();
    }
    world.wechat.reset_counts();
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 60, "{ran:?}");
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 60 + 16);
}

#[tokio::test]
async fn three_merchants_that_are_told_to_slow_down_close_the_endpoint_for_every_process() {
    let world = World::synced(plan(50, 1)).await;
    world.wechat.script(Rule::new(Oddity::Errcode(45011)).on(Endpoint::Checkmobile).times(3)).unwrap();
    let closed = "select exists (select from wxpatrol_data.closure where endpoint = 'checkmobile' and errcode = 45011)";
    at_work(&world, world.until(closed)).await;
}

#[tokio::test]
async fn a_halt_code_from_everybody_ends_the_run_as_halted_and_the_next_completes_it() {
    let world = World::synced(plan(40, 1)).await;
    world.wechat.script(Rule::new(Oddity::Errcode(61004))).unwrap();
    let halted = world.program(&["--once"]).await;
    assert_eq!(halted.code, Some(3), "{}", halted.everything());
    let last = halted.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("halted") && last.contains("61004"), "{last}");
    // Which address WeChat saw stands in its own words only: whoever is told of the halt is told them.
    assert!(last.contains("requestIP: 192.0.2.1 rid: ") && last.contains("allow list"), "{last}");
    for told in [
        "select detail from wxpatrol.attention where why = 'halted'",
        "select halt_reason from wxpatrol.platforms",
        "select reason from wxpatrol.runs where state = 'halted'",
    ] {
        let told = world.texts(told).await.remove(0);
        assert!(told.contains("requestIP: 192.0.2.1"), "{told}");
    }
    world.assert_every_run_adds_up().await;
    let calls = world.wechat.arrived(Endpoint::Checkmobile) + world.wechat.arrived(Endpoint::Getcallbackconfig);
    assert!(calls < 80, "the breaker stopped nothing: {calls} calls");
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where outcome = 'failed'").await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'halted'").await, 1);
    world.wechat.clear_script();
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 40);
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'halted'").await, 0);
    world.assert_every_run_adds_up().await;
}

#[tokio::test]
async fn a_run_in_which_everything_is_refused_by_a_gateway_ends_with_a_true_statement() {
    let world = World::synced(plan(30, 1)).await;
    world.wechat.script(Rule::new(Oddity::HttpStatus(502)).on(Endpoint::Checkmobile)).unwrap();
    world.wechat.set_latency(Duration::from_millis(5));
    let ran = world.once_of(PHONE).await;
    assert_eq!(ran.state, RunState::Complete);
    assert_eq!(ran.of(CheckName::Phone).failed, 30);
    world.wechat.clear_script();
    world.pass(Duration::from_secs(24 * 3600)).await;
    assert_eq!(world.once_of(PHONE).await.of(CheckName::Phone).done, 30);
}

#[tokio::test]
async fn a_merchant_whose_token_call_is_told_to_slow_down_or_halts_hurts_nobody() {
    let world = World::synced(plan(60, 1)).await;
    let odd = [Plan::mini_program(5), Plan::mini_program(20)];
    let codes = [45011, 61004];
    for (appid, code) in odd.iter().zip(codes) {
        let rule = Rule::new(Oddity::Errcode(code)).on(Endpoint::ApiAuthorizerToken).of(appid.as_str());
        world.wechat.script(rule).unwrap();
    }
    let ran = world.once_of(PHONE).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 58, "{ran:?}");
    let outcomes = world.outcomes(CheckName::Phone).await;
    assert_eq!(odd.map(|appid| outcomes[&appid].clone()), ["deferred quota_minute", "failed halt_code_alone"]);
    assert_eq!(world.count("select count(*) from wxpatrol_data.closure").await, 0);
}

#[tokio::test]
async fn a_merchant_alone_with_a_halt_code_does_not_stop_the_sync_of_the_others() {
    let world = World::new(plan(30, 1)).await;
    let odd = Plan::mini_program(3);
    let rule = Rule::new(Oddity::Errcode(61004)).on(Endpoint::ApiGetAuthorizerInfo).of(odd.as_str());
    world.wechat.script(rule).unwrap();
    let synced = world.sync().await;
    assert_eq!((synced.listed, synced.informed, synced.failed), (31, 30, 1));
    let ran = world.once_of(PHONE).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 29);
    let told = format!("select count(*) from wxpatrol.attention where why = 'kind_unknown' and subject = '{odd}'");
    assert_eq!(world.count(&told).await, 1);
}
