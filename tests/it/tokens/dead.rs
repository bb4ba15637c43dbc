//! Tokens that are refused and can not be replaced for a while: few calls are made with them.

use wxpatrol::store::runs::RunWish;

use super::*;

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
