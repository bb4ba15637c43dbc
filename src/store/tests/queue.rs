//! The order of claims, and the place in it from which a claim goes on.

use std::time::Duration;

use super::*;
use crate::{domain::CheckName, store::claim::ClaimWish};

fn wish(items_max: u32) -> ClaimWish<'static> {
    claim_of(CheckName::Phone, items_max)
}

/// So many merchants whose phones are due: the later ones first, two of them at each instant.
async fn queued(merchants: i32) -> TestDatabase {
    let database = mini_programs(merchants).await;
    say(
        &database.pool,
        "insert into item (platform_id, appid, check_name, due_at, due_since)
         select 1, appid, 'phone', at, at
           from (select appid, clock() - interval '1 s' * (substr(appid, 3)::int / 2) as at from merchant) due",
    )
    .await;
    database
}

/// Pages that a plan reads to find the rows that it locks.
fn pages_on_the_way(plan: &serde_json::Value) -> Option<i64> {
    let below = plan["Plans"].as_array()?;
    if plan["Node Type"] == "LockRows" {
        return Some(below[0]["Shared Hit Blocks"].as_i64()? + below[0]["Shared Read Blocks"].as_i64()?);
    }
    below.iter().find_map(pages_on_the_way)
}

fn names(claims: &[crate::store::claim::Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.key.appid.as_str()).collect()
}

#[tokio::test]
async fn claims_go_on_behind_each_other_in_the_order_of_due_time_and_key_and_leave_nobody_out() {
    let database = queued(9).await;
    let store = &database.store;
    let first = store.claim_behind(wish(3), None).await.unwrap();
    assert_eq!(names(&first.claims), ["wx0006", "wx0008", "wx0009"]);
    let second = store.claim_behind(wish(3), first.last.as_ref()).await.unwrap();
    assert_eq!(names(&second.claims), ["wx0004", "wx0005", "wx0007"], "of one instant the second is not left out");
    assert!(first.last < second.last);
    let third = store.claim_behind(wish(4), second.last.as_ref()).await.unwrap();
    assert_eq!(names(&third.claims), ["wx0001", "wx0002", "wx0003"]);
    let fourth = store.claim_behind(wish(4), third.last.as_ref()).await.unwrap();
    assert!(fourth.claims.is_empty() && fourth.last.is_none());
}

#[tokio::test]
async fn what_comes_due_before_the_place_is_left_to_a_claim_from_the_start() {
    let database = queued(4).await;
    let other = database.another_store().await;
    let taken = other.claim(wish(2)).await.unwrap();
    assert_eq!(names(&taken), ["wx0002", "wx0004"]);
    let store = &database.store;
    let place = store.claim_behind(wish(1), None).await.unwrap().last;
    // The other process dies, and its leases end.
    database.advance(Duration::from_secs(61)).await;
    let behind = store.claim_behind(wish(9), place.as_ref()).await.unwrap();
    assert_eq!(names(&behind.claims), ["wx0001"]);
    // The first of them, claimed at the start and lost by nobody, is leased no more either.
    let start = store.claim_behind(wish(9), None).await.unwrap();
    assert_eq!(names(&start.claims), ["wx0002", "wx0003", "wx0004"]);
}

#[tokio::test]
async fn a_claim_reads_no_more_of_a_long_queue_for_what_was_claimed_before_it() {
    let database = queued(3_000).await;
    say(&database.pool, "analyze item").await;
    let store = &database.store;
    // A backup begins: nothing that it sees may be tidied away before it ends.
    let mut backup = database.pool.begin().await.unwrap();
    sqlx::raw_sql("set transaction isolation level repeatable read; select count(*) from wxpatrol_data.item")
        .execute(&mut *backup)
        .await
        .unwrap();
    let mut place = None;
    for _ in 0..14 {
        place = store.claim_behind(wish(200), place.as_ref()).await.unwrap().last;
        // Recorded, and due tomorrow.
        say(
            &database.pool,
            "update item set leased_by = null, leased_until = null, due_at = due_at + interval '1 day' where leased_by is not null",
        )
        .await;
    }
    let read = async |place: Option<&crate::store::claim::QueuePlace>| -> i64 {
        let (due_at, appid) = place.map_or((None, ""), |place| (Some(place.due_at), place.appid.as_str()));
        let explain = format!("explain (analyze, buffers, format json) {}", include_str!("../sql/claim.sql"));
        let mut transaction = store.pool.begin().await.unwrap();
        let plan: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(explain))
            .bind(1)
            .bind("phone")
            .bind(200_i64)
            .bind(60.0)
            .bind(uuid::Uuid::nil())
            .bind(None::<Vec<String>>)
            .bind(1)
            .bind(0.0)
            .bind(due_at)
            .bind(appid)
            .bind("")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        transaction.rollback().await.unwrap();
        pages_on_the_way(&plan[0]["Plan"]).expect("the plan locks what it has found")
    };
    let (from_the_start, behind) = (read(None).await, read(place.as_ref()).await);
    assert!(behind * 4 < from_the_start, "{behind} pages from the place, {from_the_start} from the start");
    backup.rollback().await.unwrap();
}

#[tokio::test]
async fn probes_begin_anywhere_among_the_first_that_are_due_so_that_one_odd_merchant_is_not_tried_alone() {
    let database = mini_programs(3).await;
    say(
        &database.pool,
        "insert into item (platform_id, appid, check_name, due_at, due_since)
         select 1, appid, 'phone', clock() - interval '1 min', clock() - interval '1 min' from merchant",
    )
    .await;
    let store = &database.store;
    let mut tried = BTreeSet::new();
    // Each is the next in one of three draws.
    for _ in 0..100 {
        let place = store.probe_place(1, CheckName::Phone).await.unwrap();
        let claims = store.claim_behind(claim_of(CheckName::Phone, 1), place.as_ref()).await.unwrap().claims;
        tried.insert(claims[0].key.appid.clone());
        say(&database.pool, "update item set leased_until = null, leased_by = null").await;
    }
    assert_eq!(tried.len(), 3, "{tried:?}");
    // Behind what can not be claimed nobody may stand.
    say(
        &database.pool,
        "update item set leased_until = clock() + interval '1 min', leased_by = '00000000-0000-0000-0000-000000000001'
          where appid = 'wx0001';
         update item set free_at = clock() + interval '1 min' where appid = 'wx0002'",
    )
    .await;
    for _ in 0..20 {
        assert!(store.probe_place(1, CheckName::Phone).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_platform_worked_lately_when_a_run_of_the_last_day_had_an_answer() {
    let (database, platform) = seeded().await;
    let store = &database.store;
    assert!(store.worked_lately(platform).await.unwrap());
    say(&database.pool, "update coverage set done = 0").await;
    assert!(!store.worked_lately(platform).await.unwrap());
    say(&database.pool, "update coverage set done = 1; update run set ended_at = clock() - interval '25 hours'").await;
    assert!(!store.worked_lately(platform).await.unwrap());
}
