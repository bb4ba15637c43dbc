//! The life of a link, from the wish to the decision of both administrators, over the real wire.

use std::time::Duration;

use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, LinkMode, Plan},
};

use crate::world::{World, pair, plan};

const BOTH: &[CheckName] = &[CheckName::Links, CheckName::Invite];
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// One official account that wants one mini program whose administrators decide like this.
async fn one_pair(mode: LinkMode) -> World {
    let world = World::wanting(plan(2, 1), &[(0, 0)]).await;
    let (account, program) = pair(0, 0);
    world.wechat.link_mode(&account, &program, mode).unwrap();
    world
}

/// A run after so much time; answers the pair's state.
async fn state_after(world: &World, time: Duration) -> String {
    world.pass(time).await;
    world.once_of(BOTH).await.assert_complete();
    world.texts("select state from wxpatrol_data.link").await.remove(0)
}

async fn moves(world: &World) -> Vec<String> {
    world.texts("select to_state from wxpatrol_data.link_transition order by transition_id").await
}

#[tokio::test]
async fn a_pair_goes_from_wanted_over_both_administrators_to_linked() {
    let world = one_pair(LinkMode::Stalls).await;
    let (account, program) = pair(0, 0);
    assert_eq!(state_after(&world, Duration::ZERO).await, "invited");
    assert_eq!(state_after(&world, DAY).await, "waiting_official_account");
    world.wechat.approve(&account, &program).unwrap();
    assert_eq!(state_after(&world, DAY).await, "waiting_mini_program");
    world.wechat.approve(&account, &program).unwrap();
    assert_eq!(state_after(&world, DAY).await, "linked");
    let expected = ["wanted", "invited", "waiting_official_account", "waiting_mini_program", "linked"];
    assert_eq!(moves(&world).await, expected);
    assert_eq!(world.wechat.readout().invitations, 1);
}

#[tokio::test]
async fn a_pair_that_is_linked_already_is_not_invited() {
    let world = one_pair(LinkMode::AlreadyLinked).await;
    assert_eq!(state_after(&world, Duration::ZERO).await, "linked");
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplink), 0);
}

#[tokio::test]
async fn a_refused_pair_is_invited_again_only_by_an_operator_s_word() {
    let world = one_pair(LinkMode::MiniProgramRefuses).await;
    let mut state = String::new();
    for _ in 0..5 {
        state = state_after(&world, DAY).await;
    }
    assert_eq!((state.as_str(), world.wechat.readout().invitations), ("refused", 1));
    assert_eq!(world.count("select count(*) from wxpatrol.attention where why = 'link_refused'").await, 1);
    let (account, program) = pair(0, 0);
    let wanted = world.program(&["want", &account, &program]).await;
    assert_eq!(wanted.code, Some(0), "{}", wanted.everything());
    state_after(&world, DAY).await;
    assert_eq!(world.wechat.readout().invitations, 2);
}

#[tokio::test]
async fn an_invitation_that_is_gone_vanishes_after_two_readings_and_not_after_one() {
    let world = one_pair(LinkMode::Stalls).await;
    let (account, program) = pair(0, 0);
    state_after(&world, Duration::ZERO).await;
    assert_eq!(state_after(&world, HOUR).await, "waiting_official_account");
    world.wechat.unlink(&account, &program).unwrap();
    assert_eq!(state_after(&world, DAY).await, "waiting_official_account");
    assert_eq!(state_after(&world, DAY).await, "vanished");
    assert_eq!(world.wechat.readout().invitations, 1);
}

#[tokio::test]
async fn an_invitation_that_nobody_decides_is_stale_when_the_patience_is_over() {
    let world = one_pair(LinkMode::Stalls).await.with("WXPATROL_LINK_PATIENCE", "3d");
    state_after(&world, Duration::ZERO).await;
    assert_eq!(state_after(&world, 2 * DAY).await, "waiting_official_account");
    assert_eq!(state_after(&world, 2 * DAY).await, "stale");
    assert_eq!(world.wechat.readout().invitations, 1);
}

#[tokio::test]
async fn a_quota_of_the_month_defers_the_invitation_to_the_next_month() {
    let world = one_pair(LinkMode::Answers(89007)).await;
    let (account, program) = pair(0, 0);
    assert_eq!(state_after(&world, Duration::ZERO).await, "deferred");
    let first_of_month = "select count(*) from wxpatrol_data.link
                           where extract(day from deferred_until at time zone 'Asia/Shanghai') = 1";
    assert_eq!(world.count(first_of_month).await, 1);
    world.wechat.link_mode(&account, &program, LinkMode::AtOnce).unwrap();
    for _ in 0..3 {
        state_after(&world, 16 * DAY).await;
    }
    assert_eq!(state_after(&world, DAY).await, "linked");
    assert_eq!(world.wechat.readout().invitations, 1);
}

#[tokio::test]
async fn a_pair_that_wechat_refuses_waits_for_a_person_with_the_code() {
    let world = one_pair(LinkMode::Answers(89245)).await;
    assert_eq!(state_after(&world, Duration::ZERO).await, "blocked");
    for _ in 0..3 {
        assert_eq!(state_after(&world, DAY).await, "blocked");
    }
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplink), 1);
    let told = "select errcode::text from wxpatrol.attention where why = 'link_blocked'";
    assert_eq!(world.texts(told).await, ["89245"]);
}

#[tokio::test]
async fn a_linked_pair_that_is_unlinked_is_invited_again_only_by_an_operator_s_word() {
    let world = one_pair(LinkMode::AlreadyLinked).await;
    let (account, program) = pair(0, 0);
    state_after(&world, Duration::ZERO).await;
    world.wechat.unlink(&account, &program).unwrap();
    assert_eq!(state_after(&world, 8 * DAY).await, "unlinked");
    assert_eq!(state_after(&world, 8 * DAY).await, "unlinked");
    assert_eq!(world.wechat.readout().invitations, 0);
    world.want(&[pair(0, 0)]).await;
    state_after(&world, HOUR).await;
    assert_eq!(world.wechat.readout().invitations, 1);
}

#[tokio::test]
async fn an_unwanted_pair_is_not_invited() {
    let world = one_pair(LinkMode::Approved).await;
    let (account, program) = pair(0, 0);
    let unwanted = world.program(&["unwant", &account, &program]).await;
    assert_eq!(unwanted.code, Some(0), "{}", unwanted.everything());
    world.once_of(BOTH).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplink), 0);
}

#[tokio::test]
async fn one_reading_settles_every_pair_of_an_official_account() {
    let pairs: Vec<(u32, u32)> = (0..12).map(|program| (0, program)).collect();
    let world = World::wanting(Plan { phone_missing_share: 0.0, ..plan(12, 1) }, &pairs).await;
    world.once_of(&[CheckName::Links]).await.assert_complete();
    assert_eq!(world.wechat.arrived(Endpoint::Wxamplinkget), 1);
    world.once_of(&[CheckName::Invite]).await.assert_complete();
    assert_eq!(world.wechat.readout().invitations, 12);
}

#[tokio::test]
async fn a_pair_that_the_list_shows_with_a_status_that_nobody_knows_is_not_invited_again() {
    let world = one_pair(LinkMode::Status(77)).await;
    let (account, program) = pair(0, 0);
    state_after(&world, Duration::ZERO).await;
    let mut state = String::new();
    for _ in 0..9 {
        state = state_after(&world, DAY).await;
    }
    assert_eq!(state, "stale");
    let wanted = world.program(&["want", &account, &program]).await;
    assert_eq!(wanted.code, Some(0), "{}", wanted.everything());
    assert_eq!(state_after(&world, DAY).await, "wanted");
    assert_eq!(world.wechat.readout().invitations, 1, "it is there, as whatever");
    assert_eq!(
        world.texts("select reason from wxpatrol_data.item where check_name = 'invite'").await,
        ["awaiting_reading"]
    );
    world.wechat.unlink(&account, &program).unwrap();
    assert_eq!(state_after(&world, DAY).await, "invited");
    assert_eq!(world.wechat.readout().invitations, 2);
}
