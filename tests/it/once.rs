//! `--once` and its flags on the real program, and what pauses do to a run.

use std::time::Duration;

use serde_json::Value;
use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, Kind, Oddity, Plan, Rule},
};

use crate::world::{Ended, World, pair, plan, until, wish};

/// What a command printed as JSON.
fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.everything()))
}

/// The line of a check in a coverage printed as JSON.
fn line<'a>(coverage: &'a Value, check: &str) -> &'a Value {
    coverage.as_array().unwrap().iter().find(|row| row["check_name"] == check).unwrap()
}

#[tokio::test]
async fn once_prints_its_coverage_and_ends_with_0() {
    let world = World::wanting(plan(12, 2), &[(0, 0), (1, 1)]).await;
    let ended = world.program(&["--once", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let coverage = json(&ended);
    assert_eq!(coverage.as_array().unwrap().len(), 5, "{coverage}");
    assert_eq!((&line(&coverage, "phone")["total"], &line(&coverage, "phone")["done"]), (&12.into(), &12.into()));
    assert!(coverage.as_array().unwrap().iter().all(|row| row["adds_up"] == true), "{coverage}");
}

#[tokio::test]
async fn failed_merchants_are_findings_unless_they_are_to_fail_the_command() {
    let world = World::synced(plan(3, 1)).await;
    world.wechat.script(Rule::new(Oddity::Errcode(47001)).on(Endpoint::Checkmobile).of(Plan::mini_program(1))).unwrap();
    let found = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(found.code, Some(0), "{}", found.everything());
    world.pass(Duration::from_secs(24 * 3600)).await;
    let failed = world.program(&["--once", "--check", "phone", "--fail-on", "failed"]).await;
    assert_eq!(failed.code, Some(1), "{}", failed.everything());
}

#[tokio::test]
async fn a_dry_run_messages_nobody_and_lists_who_would_be() {
    let world = World::wanting(Plan { phone_missing_share: 1.0, ..plan(6, 1) }, &[(0, 0), (0, 1)]).await;
    let ended = world.program(&["--once", "--dry-run"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!((world.wechat.readout().asks, world.wechat.readout().invitations), (0, 0));
    assert_eq!(world.count("select count(*) from wxpatrol_data.intent").await, 0);
    let listed = ended.stdout.lines().filter(|line| line.trim_end().ends_with("yes")).count();
    assert_eq!(listed, 8, "{}", ended.stdout);
    for program in (0..6).map(Plan::mini_program) {
        assert!(ended.stdout.contains(&program), "{program} is not listed");
    }
    world.assert_every_run_adds_up().await;
    // The messages are as due as before.
    world.once().await.assert_complete();
    assert_eq!((world.wechat.readout().asks, world.wechat.readout().invitations), (6, 2));
}

#[tokio::test]
async fn all_makes_due_what_is_fresh_but_lifts_no_cool_down() {
    let world = World::synced(Plan { phone_missing_share: 1.0, ..plan(8, 1) }).await;
    world.once().await.assert_complete();
    world.wechat.reset_counts();
    let ran = world.run(wxpatrol::store::runs::RunWish { all: true, ..wish(&[]) }).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 8);
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 8);
    assert_eq!(world.wechat.readout().asks_of_one_merchant_max, 1);
}

#[tokio::test]
async fn only_the_named_merchants_are_called_and_counted() {
    let world = World::synced(plan(9, 1)).await;
    let (first, second) = (Plan::mini_program(2), Plan::mini_program(5));
    let ended =
        world.program(&["--once", "--check", "callback", "--merchant", &first, "--merchant", &second, "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(line(&json(&ended), "callback")["total"], 2);
    assert_eq!(world.wechat.arrived(Endpoint::Getcallbackconfig), 2);
}

#[tokio::test]
async fn a_deadline_interrupts_the_run_with_1_and_the_next_completes_it() {
    let world = World::synced(plan(60, 1)).await.with("WXPATROL_LIMIT_GETCALLBACKCONFIG", "10/s");
    let ended = world.program(&["--once", "--check", "callback", "--deadline", "2s"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.everything());
    assert_eq!(world.texts("select state from wxpatrol_data.run").await, ["interrupted"]);
    world.assert_every_run_adds_up().await;
    let world = world.with("WXPATROL_LIMIT_GETCALLBACKCONFIG", "1000/s");
    assert_eq!(world.program(&["--once", "--check", "callback"]).await.code, Some(0));
    assert_eq!(world.wechat.arrived(Endpoint::Getcallbackconfig), 60);
}

#[tokio::test]
async fn what_is_paused_is_skipped_as_held_and_comes_due_when_it_is_resumed() {
    let world = World::synced(plan(5, 1)).await;
    let held = Plan::mini_program(3);
    assert_eq!(world.program(&["pause", "--merchant", &held, "--note", "asked for it"]).await.code, Some(0));
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Phone).done, ran.of(CheckName::Phone).skipped), (4, 1), "{ran:?}");
    assert_eq!(ran.of(CheckName::Phone).reasons.0["skipped"]["held"], 1);
    assert_eq!(world.program(&["resume", "--merchant", &held]).await.code, Some(0));
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 1);
}

#[tokio::test]
async fn a_paused_check_calls_nobody_and_every_item_of_it_counts_as_held() {
    let world = World::synced(Plan { phone_missing_share: 1.0, ..plan(7, 1) }).await;
    assert_eq!(world.program(&["pause", "--check", "ask"]).await.code, Some(0));
    let ran = world.once_of(&[CheckName::Phone, CheckName::Ask]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Ask).skipped, 7, "{ran:?}");
    assert_eq!(world.wechat.readout().asks, 0);
    assert_eq!(world.program(&["resume", "--check", "ask"]).await.code, Some(0));
    world.once_of(&[CheckName::Ask]).await.assert_complete();
    assert_eq!(world.wechat.readout().asks, 7);
}

#[tokio::test]
async fn a_merchant_that_withdrew_is_out_of_scope_and_its_tokens_are_erased() {
    let world = World::synced(plan(5, 1)).await;
    world.once().await.assert_complete();
    let gone = Plan::mini_program(1);
    world.wechat.withdraw(&gone).unwrap();
    world.sync().await;
    world.sync().await;
    let tokens =
        "select count(*) from wxpatrol_data.credential c join wxpatrol_data.merchant m using (platform_id, appid)
                   where m.withdrawn_at is not null and (c.access_sealed is not null or c.refresh_sealed is not null)";
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where withdrawn_at is not null").await, 1);
    assert_eq!(world.count(tokens).await, 0);
    assert_eq!(world.once().await.of(CheckName::Phone).total, 4);
}

#[tokio::test]
async fn new_merchants_that_are_held_are_read_and_not_messaged() {
    let world = World::new(Plan { phone_missing_share: 1.0, ..plan(4, 1) }).await;
    let world = world.with("WXPATROL_NEW_MERCHANTS", "held");
    world.sync().await;
    world.want(&[pair(0, 0)]).await;
    let ran = world.once().await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 4);
    assert_eq!((world.wechat.readout().asks, world.wechat.readout().invitations), (0, 0));
    let one = Plan::mini_program(2);
    assert_eq!(world.program(&["resume", "--merchant", &one, "--check", "ask"]).await.code, Some(0));
    world.once().await.assert_complete();
    assert_eq!(world.wechat.asks().into_iter().map(|ask| ask.appid).collect::<Vec<_>>(), [one]);
}

#[tokio::test]
async fn a_run_that_has_nothing_left_ends_while_another_one_is_busy_for_long() {
    let world = World::synced(plan(300, 1)).await;
    // Calls that last until they are given up: at every moment there are some.
    world.wechat.script(Rule::new(Oddity::Hang).on(Endpoint::Checkmobile)).unwrap();
    let slow = world.spawn_with(&[("WXPATROL_LIMIT_CHECKMOBILE", "1/s")], &["--once", "--check", "phone"]);
    until("the first run calls", async || world.wechat.arrived(Endpoint::Checkmobile) > 1).await;
    // Each of these shares the phones' work too.
    let one = world.wechat.merchants().into_iter().find(|merchant| merchant.kind == Kind::MiniProgram).unwrap().appid;
    for arguments in [&["--once", "--check", "callback"][..], &["--once", "--check", "callback", "--merchant", &one]] {
        let ended = world.program_with(&[("WXPATROL_LIMIT_CHECKMOBILE", "1/s")], arguments).await;
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
    }
    let busy = "select count(*) from wxpatrol_data.run where state = 'open' and checks = array['phone']";
    assert_eq!(world.count(busy).await, 1);
    assert!(slow.killed().await, "it is busy");
    assert_eq!(world.count("select count(*) from wxpatrol.coverage where not adds_up").await, 0);
}

#[tokio::test]
async fn only_https_needs_the_machine_s_certificates_of_authorities() {
    let world = World::synced(plan(2, 1)).await;
    let nowhere = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
    let rehearsal = world.program_with(&nowhere, &["--once", "--check", "phone"]).await;
    assert_eq!(rehearsal.code, Some(0), "{}", rehearsal.everything());
    let https = [&nowhere[..], &[("WXPATROL_WECHAT_BASE_URL", "https://127.0.0.1:9")]].concat();
    let refused = world.program_with(&https, &["--once", "--check", "phone"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains("install the package ca-certificates"), "{}", refused.everything());
}
