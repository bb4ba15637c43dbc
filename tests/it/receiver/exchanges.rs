//! The code that comes with an authorization is exchanged once, whatever happens meanwhile.

use wxpatrol::simulate::{Oddity, Rule};

use super::*;

/// A process that is killed between its answer and the end of the work, with the exchange under way.
async fn killed_in_mid_exchange(unheard: bool) -> World {
    let world = World::new(plan(2, 1)).await;
    let new = Plan::mini_program(1);
    world.wechat.withdraw(&new).unwrap();
    world.sync().await;
    let (world, program, _) = listening(world, false).await;
    let hang = Rule::new(Oddity::Hang).on(Endpoint::ApiQueryAuth);
    world.wechat.script(if unheard { hang.unheard() } else { hang }).unwrap();
    world.wechat.authorize(&new).unwrap();
    // The answer comes although the exchange hangs.
    taken(&world, push("authorized", Some(&new))).await;
    until("the exchange is under way", async || world.wechat.arrived(Endpoint::ApiQueryAuth) == 1).await;
    assert!(program.killed().await);
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["pending"]);
    world.wechat.clear_script();
    // Another process, which receives nothing itself; the lease of the dead one is over.
    let world = world.without("WXPATROL_RECEIVER_ADDR");
    let other = world.spawn(&["run"]);
    world.database.advance(Duration::from_secs(121)).await;
    world.wechat.advance(Duration::from_secs(121));
    settled(&world, 1).await;
    ended(other).await;
    world
}

#[tokio::test]
async fn a_kill_between_the_answer_and_the_work_loses_nothing() {
    let world = killed_in_mid_exchange(true).await;
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["done"]);
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 2);
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 2);
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_made_up_for_by_the_merchant_s_info() {
    let world = killed_in_mid_exchange(false).await;
    let reasons = world.texts("select reason from wxpatrol_data.authorization_event where state = 'done'").await;
    assert!(reasons[0].contains("61009"), "{reasons:?}");
    let sealed = "select count(*) from wxpatrol_data.authorization_event where code_sealed is not null";
    assert_eq!(world.count(sealed).await, 0);
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 2);
}

#[tokio::test]
async fn an_exchange_that_fails_for_good_stands_in_attention_until_the_next_sync_recovers_it() {
    let world = World::new(plan(2, 1)).await;
    let new = Plan::mini_program(1);
    world.wechat.withdraw(&new).unwrap();
    world.sync().await;
    world.wechat.set_api_rights(&new, false).unwrap();
    let refused = Rule::new(Oddity::Errcode(61010)).on(Endpoint::ApiQueryAuth).of(new.as_str());
    world.wechat.script(refused).unwrap();
    let (world, program, _) = listening(world, true).await;
    world.wechat.authorize(&new).unwrap();
    settled(&world, 1).await;
    ended(program).await;
    let told =
        format!("select count(*) from wxpatrol.attention where why = 'authorization_unfinished' and subject = '{new}'");
    assert_eq!(world.count(&told).await, 1);
    world.sync().await;
    assert_eq!(world.count(&told).await, 0);
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 2);
}

#[tokio::test]
async fn an_exchange_that_fails_for_a_moment_is_tried_again() {
    let world = World::synced(plan(2, 1)).await;
    let merchant = Plan::mini_program(1);
    let busy = Rule::new(Oddity::Errcode(-1)).on(Endpoint::ApiQueryAuth).times(1);
    world.wechat.script(busy).unwrap();
    let (world, program, _) = listening(world, true).await;
    world.wechat.update_authorization(&merchant, &[17, 49]).unwrap();
    world.until("select exists (select from wxpatrol_data.authorization_event where reason like '%-1%')").await;
    world.database.advance(Duration::from_secs(6)).await;
    settled(&world, 1).await;
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 2);
    let sets = format!("select permission_sets::text from wxpatrol_data.merchant where appid = '{merchant}'");
    assert_eq!(world.texts(&sets).await, ["{17,49}"]);
    ended(program).await;
}

#[tokio::test]
async fn a_merchant_whose_exchange_hangs_holds_up_no_other() {
    let world = World::synced(plan(4, 1)).await;
    let slow = Plan::mini_program(0);
    world.wechat.script(Rule::new(Oddity::Hang).on(Endpoint::ApiQueryAuth).of(slow.as_str())).unwrap();
    let (world, program, _) = listening(world, false).await;
    taken(&world, push("updateauthorized", Some(&slow))).await;
    until("the slow exchange is under way", async || world.wechat.arrived(Endpoint::ApiQueryAuth) == 1).await;
    for merchant in 1..4 {
        taken(&world, push("updateauthorized", Some(&Plan::mini_program(merchant)))).await;
    }
    world.until("select count(*) = 3 from wxpatrol_data.authorization_event where state = 'done'").await;
    let pending = "select appid from wxpatrol_data.authorization_event where state = 'pending'";
    assert_eq!(world.texts(pending).await, [slow]);
    assert!(program.killed().await);
}
