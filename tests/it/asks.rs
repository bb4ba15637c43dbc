//! When administrators are asked for a phone: cool-down, maximum, quiet hours, the day's cap, and the operator's word.

use std::time::Duration;

use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, Plan},
};

use crate::world::{World, plan};

const BOTH: &[CheckName] = &[CheckName::Phone, CheckName::Ask];
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn nobody_has_a_phone(mini_programs: u32) -> World {
    World::synced(Plan { phone_missing_share: 1.0, ..plan(mini_programs, 1) }).await
}

async fn asks_after(world: &World, time: Duration) -> usize {
    world.pass(time).await;
    world.once_of(BOTH).await.assert_complete();
    world.wechat.readout().asks
}

#[tokio::test]
async fn nobody_is_asked_again_before_the_cool_down_is_over() {
    let world = nobody_has_a_phone(3).await;
    assert_eq!(asks_after(&world, Duration::ZERO).await, 3);
    assert_eq!(asks_after(&world, 7 * DAY - HOUR).await, 3);
    assert_eq!(asks_after(&world, HOUR).await, 6);
}

#[tokio::test]
async fn after_the_maximum_a_merchant_waits_in_the_attention_view_for_an_operator_s_word() {
    let world = nobody_has_a_phone(2).await.with("WXPATROL_ASKS_MAX", "2");
    for asks in [2, 4, 4, 4] {
        assert_eq!(asks_after(&world, 7 * DAY + HOUR).await, asks);
    }
    let exhausted = "select count(*) from wxpatrol.attention where why = 'ask_exhausted'";
    assert_eq!(world.count(exhausted).await, 2);
    let granted = world.program(&["ask", &Plan::mini_program(0)]).await;
    assert_eq!(granted.code, Some(0), "{}", granted.everything());
    assert_eq!(asks_after(&world, HOUR).await, 5);
    assert_eq!(asks_after(&world, 8 * DAY).await, 5);
    assert_eq!(world.count(exhausted).await, 2);
}

#[tokio::test]
async fn a_bound_phone_ends_the_asks_and_starts_their_count_afresh() {
    let world = nobody_has_a_phone(1).await.with("WXPATROL_ASKS_MAX", "1");
    let merchant = Plan::mini_program(0);
    assert_eq!(asks_after(&world, Duration::ZERO).await, 1);
    world.wechat.bind_phone(&merchant).unwrap();
    assert_eq!(asks_after(&world, 8 * DAY).await, 1);
    assert_eq!(world.texts("select state from wxpatrol_data.phone").await, ["bound"]);
    world.wechat.unbind_phone(&merchant).unwrap();
    assert_eq!(asks_after(&world, 31 * DAY).await, 2);
}

#[tokio::test]
async fn a_phone_that_was_bound_since_the_reading_is_found_by_the_ask_itself() {
    let world = nobody_has_a_phone(1).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    world.wechat.bind_phone(&Plan::mini_program(0)).unwrap();
    world.once_of(&[CheckName::Ask]).await.assert_complete();
    assert_eq!(world.wechat.readout().asks, 0);
    assert_eq!(world.texts("select state from wxpatrol_data.phone").await, ["bound"]);
}

#[tokio::test]
async fn in_quiet_hours_nobody_is_asked_and_after_them_everybody_is() {
    let world = nobody_has_a_phone(4).await;
    // An hour on either side of now, in WeChat's time.
    let edges = "select to_char((now() at time zone 'Asia/Shanghai') - interval '1 hour', 'HH24:MI') || '-' ||
                        to_char((now() at time zone 'Asia/Shanghai') + interval '1 hour', 'HH24:MI')";
    let quiet = world.texts(edges).await.remove(0);
    let world = world.with("WXPATROL_QUIET_HOURS", &quiet);
    let ran = world.once_of(BOTH).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Ask).reasons.0["deferred"]["quiet_hours"], 4, "{ran:?}");
    assert_eq!(asks_after(&world, HOUR + Duration::from_secs(60)).await, 4);
}

#[tokio::test]
async fn no_more_than_the_day_s_cap_is_asked_and_the_others_the_next_day() {
    let world = nobody_has_a_phone(5).await.with("WXPATROL_ASKS_PER_DAY", "3");
    let ran = world.once_of(BOTH).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Ask).reasons.0["deferred"]["day_cap"], 2, "{ran:?}");
    assert_eq!(world.wechat.readout().asks, 3);
    assert_eq!(asks_after(&world, DAY).await, 5);
}

#[tokio::test]
async fn a_held_check_counts_what_is_due_as_held_and_the_rest_as_it_stands() {
    let world = nobody_has_a_phone(5).await.with("WXPATROL_ASKS_PER_DAY", "3");
    world.once_of(BOTH).await.assert_complete();
    assert_eq!(world.program(&["pause", "--check", "ask"]).await.code, Some(0));
    let ran = world.once_of(BOTH).await;
    ran.assert_complete();
    let ask = ran.of(CheckName::Ask);
    assert_eq!((ask.fresh, ask.deferred, ask.skipped), (3, 2, 0), "{ask:?}");
    assert_eq!(ask.reasons.0["deferred"]["day_cap"], 2, "{ask:?}");
    world.pass(DAY).await;
    let ran = world.once_of(BOTH).await;
    ran.assert_complete();
    let ask = ran.of(CheckName::Ask);
    assert_eq!((ask.fresh, ask.skipped), (3, 2), "{ask:?}");
    assert_eq!(ask.reasons.0["skipped"]["held"], 2, "{ask:?}");
    assert_eq!(world.wechat.readout().asks, 3);
}

#[tokio::test]
async fn whoever_a_maximum_of_none_kept_from_being_asked_is_not_said_to_have_been_asked() {
    let whys = "select subject || ' ' || why || ' ' || what_en from wxpatrol.attention where check_name = 'ask'";
    let mut world = nobody_has_a_phone(1).await.with("WXPATROL_ASKS_MAX", "0");
    assert_eq!(asks_after(&world, Duration::ZERO).await, 0);
    let merchant = Plan::mini_program(0);
    let why = world.texts(whys).await.remove(0);
    assert!(why.starts_with(&format!("{merchant} ask_not_allowed ")) && !why.contains("Asked"), "{why}");
    // It waits for the same word as one that was asked often enough.
    assert_eq!(asks_after(&world, DAY).await, 0);
    let granted = world.program(&["ask", &merchant]).await;
    assert!(granted.stderr.contains("granted to 1 merchant;"), "{}", granted.everything());
    world.set("WXPATROL_ASKS_MAX", "0");
    assert_eq!(asks_after(&world, HOUR).await, 1);
    assert_eq!(asks_after(&world, 8 * DAY).await, 1);
    let why = world.texts(whys).await.remove(0);
    assert!(why.starts_with(&format!("{merchant} ask_exhausted Asked as often as allowed")), "{why}");
    // Or for a larger maximum.
    world.set("WXPATROL_ASKS_MAX", "1");
    assert_eq!(asks_after(&world, DAY).await, 2);
    assert_eq!(asks_after(&world, 8 * DAY).await, 2);
}

#[tokio::test]
async fn a_cap_of_none_asks_nobody() {
    let world = nobody_has_a_phone(5).await.with("WXPATROL_ASKS_PER_DAY", "0");
    world.once_of(BOTH).await.assert_complete();
    assert_eq!(world.wechat.readout().asks, 0);
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 5);
}

#[tokio::test]
async fn asks_that_are_going_to_be_refused_use_none_of_the_endpoint_s_slots() {
    let world = nobody_has_a_phone(60).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    // A call each ten seconds: were each refusal to wait for a slot, this would take ten minutes.
    let world = world.with("WXPATROL_LIMIT_CHECKMOBILE", "6/min").with("WXPATROL_ASKS_PER_DAY", "1");
    let ran = world.once_of(&[CheckName::Ask]).await;
    ran.assert_complete();
    assert_eq!((ran.of(CheckName::Ask).done, ran.of(CheckName::Ask).deferred), (1, 59), "{ran:?}");
    assert_eq!(world.wechat.readout().asks, 1);
}
