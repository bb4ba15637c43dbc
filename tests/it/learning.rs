//! Limits that learn: what WeChat says about its limits, and merchants whose own quota is used up.

use std::time::Duration;

use nix::sys::signal::Signal;
use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, Oddity, Plan, Rule, ScriptedQuota},
    store::runs::RunWish,
};

use crate::{
    secrets::page,
    world::{World, free_address, plan, until, wish},
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A run over everything, also what is not due.
fn all(checks: &[CheckName]) -> RunWish {
    RunWish { all: true, ..wish(checks) }
}

#[tokio::test]
async fn a_merchant_s_used_up_day_closes_its_endpoint_until_midnight_and_nobody_else_s() {
    let world = World::synced(plan(12, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    let missing = world.texts("select appid from wxpatrol_data.phone where state = 'missing' order by 1").await;
    let (full, others) = missing.split_first().expect("half of them have no phone");
    world.wechat.script(Rule::new(Oddity::Errcode(45_009)).of(full).on(Endpoint::Checkmobile).times(1)).unwrap();
    world.run(all(&[CheckName::Phone])).await;
    let heard = world.wechat.arrived(Endpoint::Checkmobile);
    // The ask is due and calls the same endpoint: it waits with the reading. The callback calls another.
    let ran = world.once_of(&[CheckName::Ask, CheckName::Callback]).await;
    ran.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), heard + others.len() as u64);
    let asked: Vec<String> = world.wechat.asks().into_iter().map(|ask| ask.appid).collect();
    assert!(!asked.contains(full) && asked.len() == others.len(), "{asked:?}");
    assert_eq!(ran.of(CheckName::Ask).deferred, 1, "{ran:?}");
    assert!(world.outcomes(CheckName::Callback).await[full].starts_with("done"));
    let shown = world
        .texts(
            "select concat_ws(' ', merchant, endpoint, reason, errcode, waiting_items) from wxpatrol.merchant_limits
              where closed_until between wxpatrol_data.clock() and wxpatrol_data.clock() + interval '24 h 15 min'",
        )
        .await;
    assert_eq!(shown, [format!("{full} checkmobile quota_day 45009 2")]);
    assert_eq!(world.count("select sum(merchants_closed)::bigint from wxpatrol.limits").await, 1);
    // Midnight comes by itself.
    world.pass(DAY + 900 * SECOND).await;
    world.once_of(&[CheckName::Phone, CheckName::Ask]).await.assert_complete();
    assert!(world.wechat.asks().iter().any(|ask| ask.appid == *full));
    assert_eq!(world.count("select sum(merchants_closed)::bigint from wxpatrol.limits").await, 0);
}

#[tokio::test]
async fn a_reading_that_waits_because_the_merchant_s_message_met_its_limit_is_told_so() {
    let world = World::synced(plan(12, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    let missing = world.texts("select appid from wxpatrol_data.phone where state = 'missing' order by 1").await;
    world.wechat.script(Rule::new(Oddity::Errcode(45_009)).of(&missing[0]).on(Endpoint::Checkmobile).times(1)).unwrap();
    world.once_of(&[CheckName::Ask]).await.assert_complete();
    world.program(&["--once", "--all", "--check", "phone"]).await;
    let newest =
        "select (reasons -> 'deferred')::text from wxpatrol_data.coverage join wxpatrol_data.run using (run_id)
                   where check_name = 'phone' order by started_at desc limit 1";
    assert_eq!(world.texts(newest).await, [r#"{"merchant_limit": 1}"#]);
}

#[tokio::test]
async fn an_official_account_s_used_up_month_stops_its_invitations_and_not_its_readings() {
    let pairs: Vec<(u32, u32)> = (0..6).map(|program| (0, program)).collect();
    let world = World::wanting(Plan { official_accounts: 1, ..plan(6, 1) }, &pairs).await;
    let rule = Rule::new(Oddity::Errcode(89_007)).on(Endpoint::Wxamplink);
    world.wechat.script(rule).unwrap();
    world.once_of(&[CheckName::Links, CheckName::Invite]).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplink), 1, "the first answer speaks for all six");
    let waiting = "select count(*) from wxpatrol_data.item where check_name = 'invite' and outcome = 'deferred'
                      and reason = 'quota_month' and due_at > wxpatrol_data.clock()";
    assert_eq!(world.count(waiting).await, 6);
    let read = world.wechat.arrived(Endpoint::Wxamplinkget);
    world.run(all(&[CheckName::Links])).await;
    assert!(world.wechat.arrived(Endpoint::Wxamplinkget) > read);
}

#[tokio::test]
async fn what_a_few_merchants_quotas_say_tightens_the_limit_of_the_next_run() {
    let world = World::synced(plan(60, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "200/s");
    for program in 0..60 {
        let quota = ScriptedQuota { day: Some((5_000, 12)), component_rate: Some((600, 60)), rate: None };
        world.wechat.set_quota(&Plan::mini_program(program), Endpoint::Checkmobile, Some(quota)).unwrap();
    }
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    let (app, other) = (world.app().await, world.app().await);
    let ask = async |app: &wxpatrol::app::App| {
        let ready = app.ready().await.unwrap();
        app.patrol(&ready, true).ask_quotas().await.unwrap()
    };
    let (one, two) = tokio::join!(ask(&app), ask(&other));
    assert!((2..=3).contains(&(one + two)), "{one} and {two}: three a day, over all processes");
    assert_eq!(world.wechat.arrived(Endpoint::QuotaGet), u64::from(one + two));
    assert_eq!(ask(&app).await + ask(&other).await, 3 - one - two, "a day has no more");
    let figures = "select bool_and(daily_limit = 5000 and used = 12 and platform_count = 600 and platform_seconds = 60
                                   and rate_count is null) from wxpatrol_data.quota";
    world.until(figures).await;
    let shown =
        "select concat_ws(' ', learned_per_minute, merchant_learned_per_minute, wechat_daily_limit, wechat_used)
                   from wxpatrol.limits where endpoint = 'checkmobile'";
    assert_eq!(world.texts(shown).await, ["600.00 600.00 5000 12"]);
    world.wechat.reset_counts();
    world.run(all(&[CheckName::Phone])).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 60);
    let worst = world.wechat.worst_window(Endpoint::Checkmobile, SECOND);
    assert!(worst <= 15, "{worst} calls in a second, where WeChat allows ten and 200 are set");
    let told =
        "select exists (select from wxpatrol_data.limit_setting where endpoint = 'checkmobile' and setting = '200/s')";
    world.until(told).await;
    app.store.close().await;
    other.store.close().await;
}

#[tokio::test]
async fn a_question_that_is_refused_or_lost_costs_nothing_but_itself() {
    let world = World::synced(plan(10, 1)).await;
    world.once_of(&[CheckName::Phone, CheckName::Callback]).await.assert_complete();
    for (oddity, times) in [(Oddity::Errcode(44_993), 2), (Oddity::Reset, 2), (Oddity::HttpStatus(502), 2)] {
        world.wechat.script(Rule::new(oddity).on(Endpoint::QuotaGet).times(times)).unwrap();
    }
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    assert_eq!(app.patrol(&ready, true).ask_quotas().await.unwrap(), 6);
    app.store.close().await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.quota where errcode = 44993").await, 2);
    assert_eq!(world.count("select count(*) from wxpatrol_data.quota where answered_at is not null").await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.closure").await, 0);
    world.run(all(&[CheckName::Phone])).await.assert_complete();
}

#[tokio::test]
async fn a_limit_in_shadow_lets_every_call_go_and_shows_what_it_would_have_held_back() {
    let world = World::synced(plan(200, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "1/min, 100/day shadow");
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    // At one a minute they would have taken hours.
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 200);
    let shown = "select concat_ws(' ', shadow_held_back_today > 190, shadow_held_back_today + used_today)
                   from wxpatrol.limits where endpoint = 'checkmobile'";
    assert_eq!(world.texts(shown).await, ["t 200"]);
}

#[tokio::test]
async fn three_merchants_that_are_told_to_slow_down_close_the_endpoint_for_every_process_and_slow_it() {
    let world = World::synced(plan(9, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "100/s");
    for program in 0..3 {
        let rule = Rule::new(Oddity::Errcode(45_011)).of(Plan::mini_program(program)).on(Endpoint::Checkmobile);
        world.wechat.script(rule.times(1)).unwrap();
    }
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 9);
    let closed = "select count(*) from wxpatrol_data.closure where endpoint = 'checkmobile' and errcode = 45011
                     and slow_until = closed_until + interval '20 min'";
    assert_eq!(world.count(closed).await, 1);
}

#[tokio::test]
async fn what_a_shadow_would_hold_back_stands_in_the_metrics() {
    let world = World::synced(plan(30, 1)).await;
    let world = ["ASK", "CALLBACK", "LINKS", "INVITE", "SYNC"]
        .iter()
        .fold(world, |world, name| world.with(&format!("WXPATROL_SCHEDULE_{name}"), "off"))
        .with("WXPATROL_SCHEDULE_PHONE", "* * * * * *")
        .with("WXPATROL_LIMIT_CHECKMOBILE", "1/min shadow");
    let address = free_address();
    let world = world.with("WXPATROL_STATUS_ADDR", &address);
    let unattended = world.spawn(&["run"]);
    world.until("select count(*) = 30 from wxpatrol_data.phone").await;
    let platform = &world.wechat.plan().component_appid;
    let line = format!("wxpatrol_limit_shadow_held_back_today{{platform=\"{platform}\",endpoint=\"checkmobile\"}} 2");
    until("the metrics show twenty-odd", async || page(&address, "/metrics").await.contains(&line)).await;
    assert_eq!(world.texts("select setting from wxpatrol_data.limit_setting where shadow").await, ["1/min shadow"]);
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.limit_setting").await, 0, "it left in order");
}
