//! Counts a day: used up to the last call, given back to the day that they came from, and opened when they are raised.

use super::*;
use crate::domain::platform_time;

#[tokio::test]
async fn a_day_s_count_is_used_up_to_the_last_call_and_closes_until_midnight_without_slowing() {
    let (mut still, limits) = Still::warmed("5/day").await;
    let counts = [still.take(&limits, 3).await, still.take(&limits, 3).await].map(|slice| match slice {
        Slice::Granted { count, .. } => count,
        other => panic!("{other:?}"),
    });
    assert_eq!(counts, [3, 2]);
    let Slice::Closed { wait } = still.take(&limits, 1).await else { panic!("the day is used up") };
    let midnight = platform_time::next_midnight(still.now);
    assert!((still.now + wait - midnight).abs() < TimeDelta::minutes(1), "{wait:?}");
    assert_eq!(still.one("used_today").await.as_deref(), Some("5"));
    still.set(midnight + TimeDelta::minutes(1)).await;
    assert!(matches!(still.take(&limits, 1).await, Slice::Granted { .. }));
    assert_eq!(still.one("pace_share").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_rate_and_a_count_a_day_must_both_admit() {
    let (still, limits) = Still::warmed("20/s, 7/day").await;
    assert_eq!(still.pace(&limits).await, (0.05, 4));
    assert_eq!(still.pace(&limits).await, (0.05, 3));
    assert!(matches!(still.take(&limits, 9).await, Slice::Closed { .. }));
}

#[tokio::test]
async fn slots_without_a_call_go_back_to_the_day_that_they_were_granted_on_and_to_no_other() {
    let (mut still, limits) = Still::warmed("100/s, 30/day").await;
    let unused = |slots, age: TimeDelta| Unused { slots, age: age.to_std().unwrap(), more: false };
    let mut granted = 0;
    for _ in 0..4 {
        if let Slice::Granted { count, .. } = still.take(&limits, 25).await {
            granted += count;
        }
        still.pass(TimeDelta::seconds(1)).await;
    }
    assert_eq!(granted, 30);
    let take = async |still: &Still, wanted, unused| {
        limits.take_slice(still.platform, ENDPOINT, wanted, unused).await.unwrap()
    };
    // Nothing is taken, ten come back, and again nothing is granted beyond them.
    take(&still, 0, unused(10, TimeDelta::seconds(2))).await;
    assert_eq!(still.one("used_today").await.as_deref(), Some("20"));
    let store = &still.database.store;
    let told = LimitTold { endpoint: ENDPOINT, limit: Some("100/s, 30/day".parse().unwrap()), merchant: None };
    store.tell_limits(still.platform, &[told]).await.unwrap();
    let Slice::Granted { count, .. } = take(&still, 25, Unused::default()).await else { panic!("ten are left") };
    assert_eq!(count, 10);
    // In one question: five come back and are granted at once.
    still.pass(TimeDelta::seconds(1)).await;
    let Slice::Granted { count, .. } = take(&still, 25, unused(5, TimeDelta::seconds(1))).await else {
        panic!("five are left")
    };
    assert_eq!(count, 5);
    // What was granted before midnight takes nothing from the new day.
    still.pass(TimeDelta::hours(16)).await;
    still.take(&limits, 7).await;
    take(&still, 0, unused(5, TimeDelta::hours(12))).await;
    assert_eq!(still.one("used_today").await.as_deref(), Some("7"));
}

#[tokio::test]
async fn a_day_s_count_that_is_raised_opens_what_it_closed_and_wechat_s_own_closure_stays() {
    let (still, limits) = Still::warmed("100/s, 5/day").await;
    still.take(&limits, 5).await;
    assert!(matches!(still.take(&limits, 5).await, Slice::Closed { .. }));
    let raised = LimitTold { endpoint: ENDPOINT, limit: Some("100/s, 9/day".parse().unwrap()), merchant: None };
    still.database.store.tell_limits(still.platform, &[raised]).await.unwrap();
    let limits = still.limits("100/s, 9/day");
    let Slice::Granted { count, .. } = still.take(&limits, 9).await else { panic!("four are left") };
    assert_eq!(count, 4);
    let until = still.now + MINUTE * 5;
    still.database.store.close_endpoint(still.platform, ENDPOINT, until, Some(45_009), "slow", true).await.unwrap();
    still.database.store.tell_limits(still.platform, &[raised]).await.unwrap();
    assert!(matches!(still.take(&limits, 1).await, Slice::Closed { .. }));
}
