//! Leases live as long as their process: prolonged by its beat, taken up by others when it dies, and what kills its
//! process again and again is set apart.

use std::{sync::Arc, time::Duration};

use wxpatrol::{
    domain::{CheckName, link::Patience},
    patrol::Until,
    store::{
        Store,
        claim::{Claim, ClaimWish},
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

async fn claimed(world: &World, store: &Store, suspects: bool) -> Vec<Claim> {
    let wish = ClaimWish {
        platform: world.platform().await,
        check: CheckName::Phone,
        gate: None,
        items_max: if suspects { 1 } else { 100 },
        merchants: None,
        lease: LEASE,
        suspects,
        merchant_interval: Duration::ZERO,
    };
    store.claim(wish).await.unwrap()
}

/// Claims everything that may be claimed in company, and dies.
async fn dies_with_its_claims(world: &World) -> usize {
    let store = world.database.another_store().await;
    let claims = claimed(world, &store, false).await;
    world.database.advance(OVER).await;
    claims.len()
}

#[tokio::test]
async fn a_prolonged_lease_holds_longer_and_one_that_is_over_stays_over() {
    let world = planned(3).await;
    let store = &world.database.store;
    let claims = claimed(&world, store, false).await;
    let leases = || claims.iter().map(|claim| Arc::clone(&claim.lease)).collect::<Vec<_>>();
    let platform = world.platform().await;
    store.rehearse(Duration::from_secs(20)).await.unwrap();
    let before: Vec<_> = claims.iter().map(|claim| claim.lease.until()).collect();
    assert_eq!(store.prolong(platform, leases(), LEASE).await.unwrap(), 3);
    assert!(claims.iter().zip(before).all(|(claim, before)| claim.lease.until() > before));
    // Past the first end of the leases, before the second.
    store.rehearse(Duration::from_secs(20)).await.unwrap();
    assert_eq!(claimed(&world, &world.database.another_store().await, false).await.len(), 0);
    store.rehearse(Duration::from_secs(20)).await.unwrap();
    let known: Vec<_> = claims.iter().map(|claim| claim.lease.until()).collect();
    assert_eq!(store.prolong(platform, leases(), LEASE).await.unwrap(), 0);
    assert!(claims.iter().zip(known).all(|(claim, known)| claim.lease.until() == known));
    assert_eq!(claimed(&world, &world.database.another_store().await, false).await.len(), 3);
}

#[tokio::test]
async fn nobody_prolongs_the_lease_of_another_process() {
    let world = planned(3).await;
    let (late, other) = (&world.database.store, world.database.another_store().await);
    let stale = claimed(&world, late, false).await;
    late.rehearse(OVER).await.unwrap();
    assert_eq!(claimed(&world, &other, false).await.len(), 3);
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
async fn what_loses_its_process_twice_is_claimed_alone_and_at_five_times_parked() {
    let world = planned(3).await;
    assert_eq!(dies_with_its_claims(&world).await, 3);
    assert_eq!(dies_with_its_claims(&world).await, 3);
    assert_eq!(dies_with_its_claims(&world).await, 0, "suspects go in no company");
    let platform = world.platform().await;
    let store = world.database.another_store().await;
    for _ in 0..3 {
        assert_eq!(store.park(platform, CheckName::Phone).await.unwrap(), [""; 0]);
        let suspect = claimed(&world, &store, true).await;
        assert_eq!(suspect.len(), 1);
        sqlx::query(
            "update wxpatrol_data.item set due_at = due_at - interval '1 h' where appid = $1 and check_name = 'phone'",
        )
        .bind(&suspect[0].key.appid)
        .execute(&world.database.pool)
        .await
        .unwrap();
        world.database.advance(OVER).await;
    }
    let parked = store.park(platform, CheckName::Phone).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(world.outcomes(CheckName::Phone).await[&parked[0]], "failed killed_its_process");
    let told = "select count(*) from wxpatrol.attention where why = 'failed' and detail like 'killed_its_process%'";
    assert_eq!(world.count(told).await, 1);
    assert_eq!(world.count("select suspects from wxpatrol.ages where check_name = 'phone'").await, 3);
}

#[tokio::test]
async fn suspects_are_cleared_by_the_next_run_without_leaving_anybody_out() {
    let world = planned(12).await;
    assert_eq!(dies_with_its_claims(&world).await, 12);
    assert_eq!(dies_with_its_claims(&world).await, 12);
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 12);
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

#[tokio::test]
async fn a_process_that_can_not_claim_for_minutes_while_work_is_due_ends_itself() {
    let world = planned(3).await;
    refuse_claims(&world).await;
    let app = world.app().await;
    let ready = app.ready().await.unwrap();
    app.store.open_run(ready.platform.id, &wish(&[CheckName::Phone])).await.unwrap();
    let patrol = app.patrol(&ready, true);
    let work = patrol.work(Until::Stopped);
    tokio::pin!(work);
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = tokio::time::sleep(Duration::from_millis(200)) => world.database.advance(Duration::from_secs(60)).await,
        }
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
    let minutes = async {
        for _ in 0..30 {
            world.database.advance(Duration::from_secs(60)).await;
            let told = patrol.looked();
            patrol.look();
            until("the board was looked up", async || patrol.looked() > told).await;
        }
    };
    tokio::select! {
        ended = &mut work => panic!("the engine ended: {ended:?}"),
        () = minutes => {}
    }
    patrol.stop();
    work.await.unwrap();
}
