//! A clock that is set: what stands in a row because the clock was ahead is believed for seconds, not for as long as it was
//! ahead.

use super::{properties::most_in, *};

/// From when to when the database's clock is ahead, in seconds of time that passes evenly.
const AHEAD: std::ops::Range<i64> = 40..50;

/// The slots of a process that takes a slice whenever its last one is used up, at the instants of time that passes evenly.
async fn slots_while_the_clock_is_set(still: &mut Still, limits: &SharedLimits, time: TimeDelta) -> Vec<DateTime<Utc>> {
    let began = still.now;
    let mut slots = Vec::new();
    let mut now = began;
    while now < began + time {
        let ahead = AHEAD.contains(&(now - began).num_seconds());
        still.set(if ahead { now + TimeDelta::hours(1) } else { now }).await;
        now += match still.take(limits, 50).await {
            Slice::Granted { count, wait, interval, .. } => {
                slots.extend((0..count).map(|slot| now + wait + interval * slot));
                wait + interval * count
            }
            Slice::Later { wait } => wait,
            other @ Slice::Closed { .. } => panic!("{other:?}"),
        };
    }
    slots
}

#[tokio::test]
async fn a_clock_that_was_an_hour_ahead_for_ten_seconds_stops_calls_for_seconds_and_gives_no_burst() {
    for (text, time) in [
        ("4/s", TimeDelta::seconds(90)),
        ("200/s", TimeDelta::seconds(70)),
        ("200/s burst 60", TimeDelta::seconds(70)),
        ("2/min", TimeDelta::minutes(6)),
    ] {
        let limit: Limit = text.parse().unwrap();
        let interval = TimeDelta::from_std(limit.interval().unwrap()).unwrap();
        let (mut still, limits) = Still::warmed(text).await;
        let back = still.now + TimeDelta::seconds(AHEAD.end);
        let slots = slots_while_the_clock_is_set(&mut still, &limits, time).await;
        let next = slots.iter().find(|slot| **slot >= back).expect("slots are granted again");
        assert!(*next - back < interval * 2 + TimeDelta::seconds(3), "{text}: {}", *next - back);
        // A clock that is set forward can not be told from time that passed: of a slow limit a call comes too soon.
        let forward = u32::from(interval > TimeDelta::seconds(1));
        for window in [250, 1_000, 5_000, 60_000].map(TimeDelta::milliseconds) {
            let paced = (window.as_seconds_f64() / interval.as_seconds_f64()).ceil();
            let most = most_in(window, &slots);
            assert!(most as f64 <= paced + f64::from(limit.burst() + forward), "{text}: {most} slots in {window}");
        }
    }
}

#[tokio::test]
async fn a_restart_gives_a_slow_limit_no_fresh_slot() {
    for slowed in [false, true] {
        let (mut still, limits) = Still::warmed("1/min").await;
        if slowed {
            let until = still.now + MINUTE;
            still
                .database
                .store
                .close_endpoint(still.platform, ENDPOINT, until, Some(45_011), "slow", true)
                .await
                .unwrap();
            still.pass(MINUTE).await;
        }
        let Slice::Granted { interval, .. } = still.take(&limits, 1).await else { panic!("the first slot is free") };
        assert_eq!(interval > Duration::from_secs(100), slowed);
        let mut waited = Duration::ZERO;
        // Whoever is started anew asks, again and again.
        let wait = loop {
            match still.take(&still.limits("1/min"), 1).await {
                Slice::Later { wait } => {
                    let part = wait.min(Duration::from_secs(10));
                    still.pass(TimeDelta::from_std(part).unwrap()).await;
                    waited += part;
                }
                Slice::Granted { wait, .. } => break wait,
                other @ Slice::Closed { .. } => panic!("{other:?}"),
            }
        };
        assert!(waited + wait + Duration::from_millis(1) > interval, "{waited:?} and {wait:?} of {interval:?}");
    }
}

#[tokio::test]
async fn two_processes_that_find_a_slot_an_hour_ahead_at_once_wait_for_seconds_both() {
    let (mut still, limits) = Still::warmed("4/s").await;
    still.pass(TimeDelta::hours(1)).await;
    still.take(&limits, 1).await;
    still.pass(TimeDelta::hours(-1)).await;
    let mut holding = still.database.pool.begin().await.unwrap();
    sqlx::query("select from wxpatrol_data.pace for update").execute(&mut *holding).await.unwrap();
    let blocked =
        "select count(*) = 2 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let release = async {
        while !sqlx::query_scalar::<_, bool>(blocked).fetch_one(&still.database.pool).await.unwrap() {
            tokio::task::yield_now().await;
        }
        holding.rollback().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(still.take(&limits, 1), still.take(&limits, 1), release);
    for slice in [one, two] {
        let Slice::Later { wait } = slice else { panic!("{slice:?}") };
        assert!(wait < Duration::from_secs(2), "{wait:?}");
    }
}
