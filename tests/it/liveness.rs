//! Leases live as long as their process: prolonged by its beat, taken up by others when it dies, and what kills its
//! process again and again is set apart.

use std::{sync::Arc, time::Duration};

use wxpatrol::{
    domain::{CheckName, link::Patience},
    patrol::{Patrol, Until},
    store::{
        Store,
        claim::{Claim, ClaimWish, DueSuspects, Losses},
        record::RecordContext,
    },
};

use crate::world::{World, plan, until, wish};

const LEASE: Duration = Duration::from_secs(30);
const OVER: Duration = Duration::from_secs(31);

/// Merchants with due items and no engine at work.
async fn planned(mini_programs: u32) -> World {
    let world = World::synced(plan(mini_programs, 1)).await;
    let context = RecordContext { platform: world.platform().await, run: None, patience: Patience(LEASE) };
    world.database.store.plan(context, false).await.unwrap();
    world
}

async fn claimed(world: &World, store: &Store, losses: Losses) -> Vec<Claim> {
    let wish = ClaimWish {
        platform: world.platform().await,
        check: CheckName::Phone,
        gate: None,
        items_max: 100,
        merchants: None,
        lease: LEASE,
        losses,
        merchant_interval: Duration::ZERO,
    };
    store.claim(wish).await.unwrap()
}

/// Claims as many as may go together of those that lost their process so often, and dies.
async fn dies_with(world: &World, losses: Losses) -> Vec<String> {
    let store = world.database.another_store().await;
    let claims = claimed(world, &store, losses).await;
    world.database.advance(OVER).await;
    claims.into_iter().map(|claim| claim.key.appid.clone()).collect()
}

#[tokio::test]
async fn a_prolonged_lease_holds_longer_and_one_that_is_over_stays_over() {
    let world = planned(3).await;
    let store = &world.database.store;
    let claims = claimed(&world, store, Losses::OnceAtMost).await;
    let leases = || claims.iter().map(|claim| Arc::clone(&claim.lease)).collect::<Vec<_>>();
    let platform = world.platform().await;
    store.rehearse(Duration::from_secs(20)).await.unwrap();
    let before: Vec<_> = claims.iter().map(|claim| claim.lease.until()).collect();
    assert_eq!(store.prolong(platform, leases(), LEASE).await.unwrap(), 3);
    assert!(claims.iter().zip(before).all(|(claim, before)| claim.lease.until() > before));
    // Past the first end of the leases, before the second.
    store.rehearse(Duration::from_secs(20)).await.unwrap();
    assert_eq!(claimed(&world, &world.database.another_store().await, Losses::OnceAtMost).await.len(), 0);
    store.rehearse(Duration::from_secs(20)).await.unwrap();
    let known: Vec<_> = claims.iter().map(|claim| claim.lease.until()).collect();
    assert_eq!(store.prolong(platform, leases(), LEASE).await.unwrap(), 0);
    assert!(claims.iter().zip(known).all(|(claim, known)| claim.lease.until() == known));
    assert_eq!(claimed(&world, &world.database.another_store().await, Losses::OnceAtMost).await.len(), 3);
}

#[tokio::test]
async fn nobody_prolongs_the_lease_of_another_process() {
    let world = planned(3).await;
    let (late, other) = (&world.database.store, world.database.another_store().await);
    let stale = claimed(&world, late, Losses::OnceAtMost).await;
    late.rehearse(OVER).await.unwrap();
    assert_eq!(claimed(&world, &other, Losses::OnceAtMost).await.len(), 3);
    let leases = stale.iter().map(|claim| Arc::clone(&claim.lease)).collect();
    assert_eq!(late.prolong(world.platform().await, leases, Duration::from_secs(600)).await.unwrap(), 0);
    let longest = "select max(leased_until) < wxpatrol_data.clock() + interval '1 min' from wxpatrol_data.item";
    world.until(longest).await;
}

#[tokio::test]
async fn the_beat_prolongs_claims_that_wait_for_their_tokens() {
    let world = World::synced(plan(60, 1))
        .await
        .with("WXPATROL_LEASE", "30s")
        .with("WXPATROL_LIMIT_API_AUTHORIZER_TOKEN", "1/s burst 1");
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    app.store.open_run(ready.platform.id, &wish(&[CheckName::Phone])).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let work = patrol.work(Until::Stopped);
    tokio::pin!(work);
    let seen = async {
        world.until("select count(*) > 4 from wxpatrol_data.item where leased_by is not null").await;
        sqlx::query("create table seen as select appid, fence, leased_until from wxpatrol_data.item where leased_by is not null")
            .execute(&world.database.pool)
            .await
            .unwrap();
        world
            .until(
                "select exists (select from wxpatrol_data.item i join seen s on s.appid = i.appid and s.fence = i.fence
                                 where i.check_name = 'phone' and i.leased_until > s.leased_until + interval '1 s')",
            )
            .await;
    };
    tokio::select! {
        ended = &mut work => panic!("the engine ended: {ended:?}"),
        () = seen => {}
    }
    patrol.stop();
    work.await.unwrap();
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where leased_by is not null").await, 0);
}

#[tokio::test]
async fn what_loses_its_process_again_goes_in_ever_smaller_company_and_is_parked_at_the_fifth_death() {
    let world = planned(80).await;
    let platform = world.platform().await;
    let store = &world.database.store;
    let suspects = async || store.due_suspects(platform, CheckName::Phone, None, Duration::ZERO).await.unwrap();
    assert_eq!(suspects().await, DueSuspects::default());
    assert_eq!(dies_with(&world, Losses::OnceAtMost).await.len(), 80);
    assert_eq!(suspects().await, DueSuspects::default(), "once says nothing");
    assert_eq!(dies_with(&world, Losses::OnceAtMost).await.len(), 80);
    let all = DueSuspects { items: 80, claimable: vec![Losses::Twice], to_park: false };
    assert_eq!(suspects().await, all);
    assert_eq!(dies_with(&world, Losses::OnceAtMost).await, [""; 0], "suspects go among themselves");
    let twice = dies_with(&world, Losses::Twice).await;
    assert_eq!(twice.len(), 64);
    let thrice = dies_with(&world, Losses::ThreeTimes).await;
    assert_eq!(thrice.len(), 8);
    assert!(thrice.iter().all(|appid| twice.contains(appid)));
    let levels = vec![Losses::Twice, Losses::ThreeTimes, Losses::FourTimes];
    assert_eq!(suspects().await, DueSuspects { items: 80, claimable: levels, to_park: false });
    assert_eq!(store.park(platform, CheckName::Phone).await.unwrap(), [""; 0]);
    let alone = dies_with(&world, Losses::FourTimes).await;
    assert!(alone.len() == 1 && thrice.contains(&alone[0]), "{alone:?}");
    assert!(suspects().await.to_park);
    assert_eq!(store.park(platform, CheckName::Phone).await.unwrap(), alone, "the fifth death was its last");
    assert!(!suspects().await.to_park);
    assert_eq!(world.outcomes(CheckName::Phone).await[&alone[0]], "failed killed_its_process");
    let told = "select count(*) from wxpatrol.attention where why = 'failed' and detail like 'killed_its_process%'";
    assert_eq!(world.count(told).await, 1);
    assert_eq!(world.count("select suspects from wxpatrol.ages where check_name = 'phone'").await, 80);
}

#[tokio::test]
async fn many_unlucky_items_are_called_side_by_side_and_the_log_tells_when_they_begin_and_are_through() {
    let world = planned(40).await;
    assert_eq!(dies_with(&world, Losses::OnceAtMost).await.len(), 40);
    assert_eq!(dies_with(&world, Losses::OnceAtMost).await.len(), 40);
    world.wechat.reset_counts();
    world.wechat.set_latency(Duration::from_millis(300));
    let ended = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where abandoned > 0").await, 0);
    assert_eq!(world.count("select count(*) from wxpatrol_data.phone").await, 40);
    let at_once = world.wechat.concurrent_calls_max();
    assert!(at_once > 8, "{at_once} calls at once");
    let lines = |words: &str| ended.stderr.lines().filter(|line| line.contains(words)).count();
    let begun = "lost their process twice in a row";
    assert_eq!((lines(begun), lines("that had lost their process are through")), (1, 1), "{}", ended.stderr);
    assert!(ended.stderr.lines().any(|line| line.contains(begun) && line.contains("40")), "{}", ended.stderr);
}

#[tokio::test]
async fn what_lost_its_process_four_times_is_called_alone() {
    let world = planned(6).await;
    sqlx::query("update wxpatrol_data.item set abandoned = 4 where check_name = 'phone'")
        .execute(&world.database.pool)
        .await
        .unwrap();
    world.wechat.reset_counts();
    world.wechat.set_latency(Duration::from_millis(50));
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 6);
    assert_eq!(world.wechat.concurrent_calls_max(), 1);
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where abandoned > 0").await, 0);
}

/// Postgres refuses every claim.
async fn refuse_claims(world: &World) {
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'no claims today'; end $$;
         create trigger refuse before update of leased_by on wxpatrol_data.item for each row execute function refuse();",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
}

/// Minutes of Postgres's clock, in each of which the engine looks for work.
async fn half_an_hour(world: &World, patrol: &Patrol) {
    for _ in 0..30 {
        world.database.advance(Duration::from_secs(60)).await;
        let told = patrol.looked();
        patrol.look();
        until("the board was looked up", async || patrol.looked() > told).await;
    }
}

#[tokio::test]
async fn a_process_that_can_not_claim_for_minutes_while_work_is_due_ends_itself() {
    let world = planned(3).await;
    refuse_claims(&world).await;
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    app.store.open_run(ready.platform.id, &wish(&[CheckName::Phone])).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let ended = tokio::select! {
        ended = patrol.work(Until::Stopped) => ended,
        () = half_an_hour(&world, &patrol) => panic!("it goes on after half an hour"),
    };
    let said = ended.unwrap_err().to_string();
    assert!(said.contains("nothing could be claimed or recorded") && said.contains("start it again"), "{said}");
}

#[tokio::test]
async fn a_process_whose_check_is_paused_waits_and_does_not_end_itself() {
    let world = planned(3).await;
    refuse_claims(&world).await;
    sqlx::query("insert into wxpatrol_data.hold (check_name, reason) values ('phone', 'a test')")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    app.store.open_run(ready.platform.id, &wish(&[CheckName::Phone, CheckName::Callback])).await.unwrap();
    sqlx::query("insert into wxpatrol_data.hold (check_name, reason) values ('callback', 'a test')")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let patrol = app.patrol(&ready, true);
    let work = patrol.work(Until::Stopped);
    tokio::pin!(work);
    tokio::select! {
        ended = &mut work => panic!("the engine ended: {ended:?}"),
        () = half_an_hour(&world, &patrol) => {}
    }
    patrol.stop();
    work.await.unwrap();
}
