//! Promise 2: nobody is asked or invited twice within the window, whatever dies in between, and nobody is silently
//! forgotten: who may not have been messaged stands in the attention view. The program killed at random instants: `kills.rs`.

use std::{collections::BTreeSet, time::Duration};

use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, Oddity, Plan, Rule},
};

use crate::world::{World, pair, plan, until};

const ASK: &[CheckName] = &[CheckName::Ask];
const INVITE: &[CheckName] = &[CheckName::Invite];
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A platform where everybody lacks a phone and has been read.
async fn nobody_has_a_phone(mini_programs: u32) -> World {
    let world = World::synced(Plan { phone_missing_share: 1.0, ..plan(mini_programs, 1) }).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world
}

/// A platform where the first official account wants so many mini programs, and has been read.
async fn all_wanted(mini_programs: u32) -> World {
    let pairs: Vec<(u32, u32)> = (0..mini_programs).map(|program| (0, program)).collect();
    let world = World::wanting(plan(mini_programs, 1), &pairs).await;
    world.once_of(&[CheckName::Links]).await.assert_complete();
    world
}

/// Somebody takes from the day's cap, and takes long.
async fn takes_from_the_cap_of_asks(world: &World) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut transaction = world.database.pool.begin().await.unwrap();
    let day = "insert into wxpatrol_data.message_day (platform_id, purpose, day)
               select 1, 'ask', (wxpatrol_data.clock() at time zone 'Asia/Shanghai')::date";
    sqlx::query(day).execute(&mut *transaction).await.unwrap();
    transaction
}

fn on_ask(errcode: i64, program: u32) -> Rule {
    Rule::new(Oddity::Errcode(errcode)).on(Endpoint::Checkmobile).of(Plan::mini_program(program))
}

#[tokio::test]
async fn an_ask_whose_answer_is_lost_counts_as_made() {
    let lost = [
        Oddity::Reset,
        Oddity::Hang,
        Oddity::HttpStatus(502),
        Oddity::Errcode(-1),
        Oddity::Errcode(-1000),
        Oddity::Errcode(123_456),
        Oddity::EmptyBody,
        Oddity::TruncatedJson,
        Oddity::Oversized,
        Oddity::Redirect,
    ];
    let world = nobody_has_a_phone(10).await;
    for (program, oddity) in (0..).zip(lost) {
        world.wechat.script(Rule::new(oddity).of(Plan::mini_program(program))).unwrap();
    }
    world.wechat.reset_counts();
    world.once_of(ASK).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 10);
    let unknown = "select count(*) from wxpatrol_data.intent where outcome = 'unknown' and number = 1";
    assert_eq!(world.count(unknown).await, 10);
    world.wechat.clear_script();
    world.pass(6 * DAY).await;
    world.once_of(ASK).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 10, "somebody was asked again within the cool-down");
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'ask_unknown'").await, 10);
    world.pass(DAY + HOUR).await;
    world.once_of(ASK).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 20);
}

#[tokio::test]
async fn an_invitation_whose_answer_is_lost_is_never_sent_again_by_itself() {
    let world = all_wanted(5).await;
    let rule = |oddity| Rule::new(oddity).on(Endpoint::Wxamplink).times(1);
    for oddity in [Oddity::Reset, Oddity::HttpStatus(502), Oddity::EmptyBody, Oddity::Hang] {
        world.wechat.script(rule(oddity)).unwrap();
    }
    world.wechat.script(rule(Oddity::Reset).unheard()).unwrap();
    world.once_of(INVITE).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplink), 5);
    let states = "select format('%s %s', state, count(*)) from wxpatrol_data.link group by state order by 1";
    assert_eq!(world.texts(states).await, ["invited 5"]);
    // The readings that follow see four of them, and twice not the one that was lost on its way.
    for _ in 0..12 {
        world.pass(12 * HOUR).await;
        world.once_of(&[CheckName::Links, CheckName::Invite]).await.assert_complete();
    }
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplink), 5, "an invitation was sent again");
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'link_vanished'").await, 1);
    let reason = "select reason from wxpatrol_data.link where state = 'vanished'";
    assert_eq!(world.texts(reason).await, ["never confirmed"]);
}

#[tokio::test]
async fn an_invitation_in_flight_when_the_program_was_killed_is_never_sent_again_by_itself() {
    let world = all_wanted(1).await.with("WXPATROL_LEASE", "30s");
    world.wechat.script(Rule::new(Oddity::Hang).on(Endpoint::Wxamplink).unheard()).unwrap();
    let once = world.spawn(&["--once", "--check", "invite"]);
    until("the invitation is in flight", async || world.wechat.arrived(Endpoint::Wxamplink) == 1).await;
    assert!(once.killed().await);
    world.wechat.clear_script();
    for _ in 0..8 {
        world.pass(12 * HOUR).await;
        world.once_of(&[CheckName::Links, CheckName::Invite]).await.assert_complete();
    }
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplink), 1, "it was sent again without an operator's word");
    let told = "select count(*) from wxpatrol.attention where why in ('invite_unknown', 'link_vanished')";
    assert_eq!(world.count(told).await, 1);
    world.want(&[pair(0, 0)]).await;
    world.once_of(&[CheckName::Links, CheckName::Invite]).await.assert_complete();
    assert_eq!(world.wechat.readout().invitations, 1, "the operator's word sends it");
}

#[tokio::test]
async fn an_ask_that_was_certainly_not_made_is_sent_later() {
    let world = nobody_has_a_phone(4).await;
    for (program, errcode) in [(0, 61007), (1, 45009), (2, 45011)] {
        world.wechat.script(on_ask(errcode, program).times(1)).unwrap();
    }
    // The token, and the one that replaces it, are both refused.
    world.wechat.script(on_ask(40001, 3).times(2)).unwrap();
    world.once_of(ASK).await.assert_complete();
    let not_made = "select count(*) from wxpatrol_data.intent where outcome = 'not_made' and number = 1";
    assert_eq!(world.count(not_made).await, 4);
    world.pass(7 * DAY).await;
    world.once_of(ASK).await.assert_complete();
    let asks = world.wechat.readout();
    let asked: BTreeSet<String> = world.wechat.asks().into_iter().map(|ask| ask.appid).collect();
    assert_eq!(asked.len(), 4, "{:?}", world.outcomes(CheckName::Ask).await);
    assert!(asks.asks_of_one_merchant_max <= 2);
}

#[tokio::test]
async fn the_one_repeat_with_a_fresh_token_is_the_same_message() {
    let world = nobody_has_a_phone(3).await;
    for program in 0..3 {
        world.wechat.script(on_ask(42001, program).times(1)).unwrap();
    }
    world.once_of(ASK).await.assert_complete();
    assert_eq!((world.wechat.readout().asks, world.wechat.readout().asks_of_one_merchant_max), (3, 1));
    assert_eq!(world.texts("select outcome || number from wxpatrol_data.intent").await, ["made1"; 3]);
}

#[tokio::test]
async fn an_ask_that_never_reached_wechat_is_sent_when_wechat_is_back() {
    let world = nobody_has_a_phone(3).await;
    let address = world.settings()["WXPATROL_WECHAT_BASE_URL"].clone();
    // Nobody listens on the port for discarded data of this machine.
    let world = world.with("WXPATROL_WECHAT_BASE_URL", "http://127.0.0.1:9");
    world.once_of(ASK).await.assert_complete();
    assert_eq!(world.count("select count(*) from wxpatrol_data.intent where outcome <> 'not_made'").await, 0);
    let world = world.with("WXPATROL_WECHAT_BASE_URL", &address);
    world.pass(DAY).await;
    world.once_of(ASK).await.assert_complete();
    assert_eq!((world.wechat.readout().asks, world.wechat.readout().asks_of_one_merchant_max), (3, 1));
}

#[tokio::test]
async fn messages_that_wait_for_each_other_are_written_down_together() {
    let world = nobody_has_a_phone(40).await;
    let other = takes_from_the_cap_of_asks(&world).await;
    let once = world.spawn(&["--once", "--check", "ask"]);
    until("everybody is claimed, and one message waits for the day's row", async || {
        let leased = "select count(*) from wxpatrol_data.item where leased_by is not null";
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        world.count(leased).await == 40 && world.count(waiting).await >= 1
    })
    .await;
    other.rollback().await.unwrap();
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.wechat.readout().asks, 40);
    assert_eq!(world.count("select count(*) from wxpatrol_data.intent where outcome = 'made'").await, 40);
    let transactions = world.count("select count(distinct made_at) from wxpatrol_data.intent").await;
    assert!(transactions <= 20, "{transactions} transactions for 40 messages");
}

#[tokio::test]
async fn messages_whose_writing_took_long_are_not_sent_all_at_once() {
    let world = nobody_has_a_phone(60).await.with("WXPATROL_LIMIT_CHECKMOBILE", "50/s");
    world.wechat.reset_counts();
    let other = takes_from_the_cap_of_asks(&world).await;
    let once = world.spawn(&["--once", "--check", "ask"]);
    let slots = "select coalesce(sum(used), 0)::bigint from wxpatrol_data.pace where endpoint = 'checkmobile'";
    let used = world.count(slots).await;
    until("half of the slots went by", async || world.count(slots).await >= used + 30).await;
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 0, "somebody was asked before it was written down");
    other.rollback().await.unwrap();
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.wechat.readout().asks, 60);
    let worst = world.wechat.worst_window(Endpoint::Checkmobile, Duration::from_millis(200));
    assert!(worst <= 35, "{worst} calls in a fifth of a second, at 50/s");
}

#[tokio::test]
async fn a_worker_that_goes_on_through_a_fail_over_messages_nobody_before_an_operator_resumes() {
    let world = nobody_has_a_phone(40).await.with("WXPATROL_LIMIT_CHECKMOBILE", "10/s");
    let once = world.spawn(&["--once", "--check", "ask"]);
    until("some are asked", async || world.wechat.readout().asks >= 5).await;
    let promoted = "update wxpatrol_data.cluster_identity set timeline = timeline - 1";
    sqlx::query(promoted).execute(&world.database.pool).await.unwrap();
    let ended = once.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stderr.contains("the database was restored or failed over"), "{}", ended.stderr);
    let asked = world.wechat.readout().asks;
    assert!(asked < 40, "all were asked");
    let resumed = world.program(&["resume", "--check", "ask", "--check", "invite"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.everything());
    world.once_of(ASK).await.assert_complete();
    let asks = world.wechat.readout();
    assert_eq!((asks.asks, asks.asks_of_one_merchant_max), (40, 1));
}
