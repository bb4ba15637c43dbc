//! The gates of messages: the reading's item of the same merchant carries the merchant's limit, and who is barred by it is not
//! claimed, makes nobody stuck, and is waited for no longer than is worth it.

use std::time::Duration;

use super::*;
use crate::domain::CheckName;

/// One merchant whose ask is due, and one whose phone was just read.
async fn asks_due() -> TestDatabase {
    let database = mini_programs(1).await;
    say(
        &database.pool,
        "insert into item (platform_id, appid, check_name, due_at, due_since)
         select 1, appid, check_name, clock() - interval '1 min', clock() - interval '1 min'
           from merchant, unnest(array['phone', 'ask']) check_name;
         update item set due_at = clock() + interval '1 day' where check_name = 'phone'",
    )
    .await;
    database
}

#[tokio::test]
async fn a_message_that_its_gate_bars_could_not_be_claimed_and_holds_a_run_open_for_an_hour_at_most() {
    let database = asks_due().await;
    let (store, ask) = (&database.store, &[CheckName::Ask]);
    let one = ["wx0001".to_owned()];
    for (free_at, claimable, unfinished) in [
        ("clock() - interval '1 min'", true, true),
        ("clock() + interval '59 min'", false, true),
        ("clock() + interval '61 min'", false, false),
    ] {
        sqlx::query(AssertSqlSafe(format!(
            "update wxpatrol_data.item set free_at = {} where check_name = 'phone'",
            free_at.replace("clock", "wxpatrol_data.clock")
        )))
        .execute(&database.pool)
        .await
        .unwrap();
        let apart = [(CheckName::Ask, Duration::ZERO)];
        assert_eq!(store.claimable(1, &apart, Duration::ZERO).await.unwrap(), claimable, "{free_at}");
        assert_eq!(store.unfinished(1, ask, None).await.unwrap(), unfinished, "{free_at}");
        assert_eq!(store.unfinished(1, ask, Some(&one)).await.unwrap(), unfinished, "{free_at}");
    }
    let wish = ClaimWish { gate: Some(CheckName::Phone), ..claim_of(CheckName::Ask, 5) };
    assert!(store.claim(wish).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_dead_process_held_could_not_be_claimed_before_its_merchant_s_interval_is_over() {
    let database = asks_due().await;
    let (store, hour) = (&database.store, Duration::from_secs(3600));
    say(
        &database.pool,
        "update item set due_at = clock() - interval '2 hours', leased_until = clock() - interval '10 min',
                leased_by = '00000000-0000-0000-0000-000000000001'
          where check_name = 'phone'",
    )
    .await;
    let wish = ClaimWish { merchant_interval: hour, ..claim_of(CheckName::Phone, 5) };
    assert!(store.claim(wish).await.unwrap().is_empty());
    for (apart, claimable) in [(hour, false), (Duration::ZERO, true)] {
        let claimed = store.claimable(1, &[(CheckName::Phone, apart)], Duration::from_secs(60)).await.unwrap();
        assert_eq!(claimed, claimable, "{apart:?}");
    }
}

#[tokio::test]
async fn a_gate_stays_shut_for_the_merchant_s_interval_after_a_lease_that_was_prolonged() {
    let database = asks_due().await;
    let (store, minute) = (&database.store, Duration::from_secs(60));
    let wish = ClaimWish {
        gate: Some(CheckName::Phone),
        merchant_interval: minute,
        lease: minute,
        ..claim_of(CheckName::Ask, 5)
    };
    let claims = store.claim(wish).await.unwrap();
    database.advance(Duration::from_secs(50)).await;
    assert_eq!(store.prolong(1, claims.iter().map(|claim| claim.lease.clone()).collect(), minute).await.unwrap(), 1);
    let free = "select extract(epoch from g.free_at - i.leased_until)::bigint
                  from wxpatrol_data.item i, wxpatrol_data.item g where i.check_name = 'ask' and g.check_name = 'phone'";
    assert_eq!(sqlx::query_scalar::<_, i64>(free).fetch_one(&database.pool).await.unwrap(), 60);
}
