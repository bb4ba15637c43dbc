//! Limits in Postgres, in virtual time: the clock of the database is the test's.

mod clocks;
mod days;
mod merchants;
mod properties;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        Endpoint, Limit,
        ports::{Slice, SliceSource as _, Unused},
    },
    store::{
        limits::LimitTold,
        slices::{SHARE, SharedLimits},
    },
};

const ENDPOINT: Endpoint = Endpoint::CheckMobile;
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// A database whose clock stands until the test moves it, and the platform's number.
pub(super) struct Still {
    pub(super) database: TestDatabase,
    pub(super) platform: PlatformId,
    pub(super) now: DateTime<Utc>,
}

impl Still {
    pub(super) async fn new() -> Self {
        let database = TestDatabase::new().await;
        say(
            &database.pool,
            "create table test_clock (now timestamptz);
             insert into test_clock values ('2026-11-21T04:00:00Z');
             create or replace function clock() returns timestamptz language sql volatile
                 as 'select now from wxpatrol_data.test_clock';
             create or replace view moment as select now from test_clock",
        )
        .await;
        let platform = database.store.platform("wxcomponent").await.unwrap();
        let now = "2026-11-21T04:00:00Z".parse().unwrap();
        let mut still = Self { database, platform, now };
        still.set(now).await;
        still
    }

    async fn set(&mut self, now: DateTime<Utc>) {
        self.now = now;
        sqlx::query("update wxpatrol_data.test_clock set now = $1")
            .bind(now)
            .execute(&self.database.pool)
            .await
            .unwrap();
        self.database.store.read_clock().await.unwrap();
    }

    pub(super) async fn pass(&mut self, time: TimeDelta) {
        self.set(self.now + time).await;
    }

    fn limits(&self, limit: &str) -> SharedLimits {
        let limit = limit.parse::<Limit>().unwrap();
        SharedLimits::new(self.database.store.clone(), HashMap::from([(ENDPOINT, limit)]))
    }

    async fn take(&self, limits: &SharedLimits, wanted: u32) -> Slice {
        limits.take_slice(self.platform, ENDPOINT, wanted, Unused::default()).await.unwrap()
    }

    /// The first question of a database gets no slot; this goes past that.
    async fn warmed(limit: &str) -> (Self, SharedLimits) {
        let mut still = Self::new().await;
        let limits = still.limits(limit);
        still.take(&limits, 1).await;
        still.pass(TimeDelta::hours(1)).await;
        (still, limits)
    }

    async fn one(&self, column: &'static str) -> Option<String> {
        let view = "select (to_jsonb(l) ->> $1) from wxpatrol.limits l where endpoint = $2";
        sqlx::query_scalar(view).bind(column).bind(ENDPOINT.name()).fetch_one(&self.database.pool).await.unwrap()
    }

    async fn told(&self, store: &Store, limit: &str) {
        store.beat(None).await.unwrap();
        let limit = Some(limit.parse().unwrap());
        let told = LimitTold { endpoint: ENDPOINT, limit, merchant: Some("1/s".parse().unwrap()) };
        store.tell_limits(self.platform, &[told]).await.unwrap();
    }

    /// The interval and the number of slots that a process set to this limit gets.
    async fn pace(&self, limits: &SharedLimits) -> (f64, u32) {
        match self.take(limits, 1_000).await {
            Slice::Granted { interval, count, .. } => ((interval.as_secs_f64() * SHARE * 1e6).round() / 1e6, count),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// So many cases, unless `PROPTEST_CASES` says how many.
pub(super) fn few(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() }
}

#[tokio::test]
async fn a_slow_down_halves_the_pace_and_it_comes_back_in_steps_of_ten_minutes() {
    let (mut still, limits) = Still::warmed("100/s").await;
    let close = async |still: &Still| {
        let until = still.now + MINUTE;
        still.database.store.close_endpoint(still.platform, ENDPOINT, until, Some(45_011), "slow", true).await.unwrap();
    };
    assert_eq!(still.pace(&limits).await, (0.01, 24));
    close(&still).await;
    // A second process heard the same: it is one closure.
    close(&still).await;
    assert!(matches!(still.take(&limits, 1).await, Slice::Closed { .. }));
    let mut shares = Vec::new();
    still.pass(MINUTE).await;
    for _ in 0..3 {
        still.pass(TimeDelta::seconds(1)).await;
        let (interval, slots) = still.pace(&limits).await;
        shares.push((0.01 / interval * 100.0).round() as u32);
        assert!(f64::from(slots) * interval / SHARE <= 0.26, "a slice of a slowed pace lasts no longer: {slots}");
        let shown: f64 = still.one("pace_share").await.unwrap().parse().unwrap();
        assert!((shown - 0.01 / interval).abs() < 0.001, "{shown}");
        still.pass(TimeDelta::minutes(10)).await;
    }
    assert_eq!(shares, [50, 75, 100]);
    // Heard again and again while it recovers, it goes down to an eighth and no further, and comes back by itself.
    let mut down = Vec::new();
    for _ in 0..5 {
        close(&still).await;
        still.pass(MINUTE + TimeDelta::seconds(1)).await;
        down.push((0.01 / still.pace(&limits).await.0 * 1000.0).round() as u32);
    }
    assert_eq!(down, [500, 250, 125, 125, 125]);
    let mut up = Vec::new();
    for _ in 0..5 {
        up.push((0.01 / still.pace(&limits).await.0 * 1000.0).round() as u32);
        still.pass(TimeDelta::minutes(10)).await;
    }
    assert_eq!(up, [125, 250, 500, 750, 1000]);
}

#[tokio::test]
async fn the_strictest_setting_of_living_processes_holds_and_the_view_names_them_all() {
    let (mut still, fast) = Still::warmed("100/s").await;
    let strict = still.database.another_store().await;
    let own = still.database.store.clone();
    still.told(&own, "100/s").await;
    assert_eq!(still.one("settings_differ").await.as_deref(), Some("false"));
    still.told(&strict, "10/s").await;
    assert_eq!(still.pace(&fast).await.0, 0.1);
    assert_eq!(still.one("settings_differ").await.as_deref(), Some("true"));
    assert_eq!(still.one("set_limit").await.as_deref(), Some("10/s | 100/s"));
    assert_eq!(still.one("effective_per_minute").await.as_deref(), Some("600.00"));
    let heard = own.hear_limits(still.platform).await.unwrap();
    let heard = heard.iter().find(|heard| heard.endpoint() == Some(ENDPOINT)).unwrap();
    assert_eq!(heard.others.as_deref(), Some("10/s"));
    // The strict one dies: half a minute later it holds nobody back.
    still.pass(TimeDelta::seconds(31)).await;
    still.told(&own, "100/s").await;
    assert_eq!(still.pace(&fast).await.0, 0.01);
    assert_eq!(still.one("set_limit").await.as_deref(), Some("100/s"));
    // A shadow holds nobody back either.
    still.told(&strict, "1/s shadow").await;
    assert_eq!(still.pace(&fast).await.0, 0.01);
}

#[tokio::test]
async fn a_limit_in_shadow_counts_what_it_would_hold_back() {
    let (mut still, limits) = Still::warmed("20/s, 12/day shadow").await;
    still.database.store.close().await;
    let count = async |limits: &SharedLimits, still: &Still, calls| {
        limits.count_in_shadow(still.platform, ENDPOINT, calls).await.unwrap()
    };
    let store = still.database.another_store().await;
    let limits = {
        drop(limits);
        SharedLimits::new(store, HashMap::from([(ENDPOINT, "20/s, 12/day shadow".parse().unwrap())]))
    };
    sqlx::query("delete from wxpatrol_data.day_count").execute(&still.database.pool).await.unwrap();
    // 300 ms of a pace of 20/s have room for six.
    let held_back = count(&limits, &still, 100).await;
    assert!((93..=95).contains(&held_back), "{held_back}");
    sqlx::query("update wxpatrol_data.test_clock set now = now + interval '1 min'")
        .execute(&still.database.pool)
        .await
        .unwrap();
    still.now += MINUTE;
    let after = count(&limits, &still, 4).await;
    assert_eq!(after, held_back, "what comes at the pace is not held back");
    sqlx::query("update wxpatrol_data.test_clock set now = now + interval '1 min'")
        .execute(&still.database.pool)
        .await
        .unwrap();
    count(&limits, &still, 5).await;
    assert_eq!(still.one("shadow_held_back_today").await, Some((100 + 4 + 5 - 12).to_string()), "the day admits 12");
    assert_eq!(still.one("used_today").await.as_deref(), Some("12"));
}

#[tokio::test]
async fn the_view_says_what_the_waiting_items_wait_for() {
    let (mut still, _) = Still::warmed("1/min").await;
    say(
        &still.database.pool,
        "insert into merchant (platform_id, appid, kind) values (1, 'wx1', 'mini_program'), (1, 'wx2', 'mini_program');
         insert into item (platform_id, appid, check_name, due_at, due_since) values
             (1, 'wx1', 'phone', '2026-11-21', '2026-11-21'), (1, 'wx1', 'ask', '2026-11-21', '2026-11-21'),
             (1, 'wx2', 'phone', '2026-11-21', '2026-11-21')",
    )
    .await;
    assert_eq!(still.one("waiting_checks").await.as_deref(), Some("ask 1, phone 2"));
    assert_eq!(still.one("waits_for").await.as_deref(), Some("a claim"));
    let limits = still.limits("1/min");
    still.take(&limits, 1).await;
    assert_eq!(still.one("waits_for").await.as_deref(), Some("a slot"));
    assert!(still.one("free_at").await.is_some());
    say(&still.database.pool, "update item set free_at = '2027-01-01'").await;
    assert_eq!(still.one("waits_for").await.as_deref(), Some("their merchants' own limits"));
    let until = still.now + MINUTE * 5;
    still.database.store.close_endpoint(still.platform, ENDPOINT, until, Some(45_011), "slow", true).await.unwrap();
    assert_eq!(still.one("waits_for").await.as_deref(), Some("its opening"));
    say(&still.database.pool, "insert into hold (platform_id, endpoint, reason) values (1, 'checkmobile', 'enough')")
        .await;
    assert_eq!(still.one("waits_for").await.as_deref(), Some("an operator"));
    say(&still.database.pool, "delete from item").await;
    still.pass(MINUTE).await;
    assert_eq!(still.one("waits_for").await, None);
}
