//! Limits in Postgres, in virtual time: the clock of the database is the test's.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        Class, Endpoint, Limit, platform_time,
        ports::{Slice, SliceSource as _, Unused},
    },
    store::{
        claim::{ClaimWish, Losses},
        limits::{LimitTold, QUESTIONS_A_DAY, QuotaSaid},
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

/// One thing that happens, to one of three processes.
#[derive(Debug, Clone)]
enum Event {
    /// A process asks for so many slots and uses every one at its time.
    Ask { process: usize, wanted: u32 },
    /// A process asks, and is killed with all its slots; another takes its place.
    AskAndDie { wanted: u32 },
    /// So many milliseconds pass.
    Pass { millis: u32 },
    /// Postgres crashes: the unlogged row is gone.
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0_usize..3, 1_u32..200).prop_map(|(process, wanted)| Event::Ask { process, wanted }),
        1 => (1_u32..200).prop_map(|wanted| Event::AskAndDie { wanted }),
        4 => (1_u32..700).prop_map(|millis| Event::Pass { millis }),
        1 => (2_000_u32..20_000).prop_map(|millis| Event::Pass { millis }),
        1 => Just(Event::Crash),
    ]
}

/// The most slots in any window of this length.
fn most_in(window: TimeDelta, slots: &[DateTime<Utc>]) -> usize {
    (0..slots.len())
        .map(|first| slots[first..].iter().take_while(|slot| **slot - slots[first] < window).count())
        .max()
        .unwrap_or(0)
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// So many cases, unless `PROPTEST_CASES` says how many.
pub(super) fn few(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn in_any_window_at_most_limit_and_burst_slots_are_handed_out_through_kills_restarts_and_crashes() {
    let runtime = runtime();
    let still = std::cell::RefCell::new(runtime.block_on(Still::new()));
    let case = |(limit, events): (String, Vec<Event>)| {
        let mut still = still.borrow_mut();
        let crashes = events.iter().filter(|event| matches!(event, Event::Crash)).count() as f64;
        let slots = runtime.block_on(async {
            say(&still.database.pool, "truncate pace").await;
            still.pass(TimeDelta::minutes(5)).await;
            let mut slots = Vec::new();
            // Restarted or not, a process knows nothing but the row.
            let processes = [still.limits(&limit), still.limits(&limit), still.limits(&limit)];
            for event in events {
                match event {
                    Event::Ask { process, wanted } => {
                        if let Slice::Granted { count, wait, interval, .. } =
                            still.take(&processes[process], wanted).await
                        {
                            assert!(count <= wanted);
                            slots.extend((0..count).map(|slot| still.now + wait + interval * slot));
                        }
                    }
                    Event::AskAndDie { wanted } => drop(still.take(&still.limits(&limit), wanted).await),
                    Event::Pass { millis } => still.pass(TimeDelta::milliseconds(i64::from(millis))).await,
                    Event::Crash => say(&still.database.pool, "truncate pace").await,
                }
            }
            slots.sort();
            slots
        });
        let limit: Limit = limit.parse().unwrap();
        // Nobody knows after a crash when the last call was, so one that is minutes apart from it is not waited for.
        let unknown = if limit.interval().unwrap() > Duration::from_secs(1) { crashes } else { 0.0 };
        for window in [10, 250, 1_000, 5_000, 60_000] {
            let window = TimeDelta::milliseconds(window);
            let paced = window.as_seconds_f64() / limit.interval().unwrap().as_secs_f64();
            let most = most_in(window, &slots);
            prop_assert!(
                most as f64 <= paced.ceil() + f64::from(limit.burst()) + unknown,
                "{most} slots in {window}, limit {limit}: {slots:?}"
            );
        }
        Ok(())
    };
    let limits = prop_oneof![Just("200/s"), Just("40/s"), Just("7/s"), Just("30/min"), Just("200/s burst 60")];
    let events = (limits.prop_map(str::to_owned), proptest::collection::vec(event(), 1..50));
    proptest::test_runner::TestRunner::new(few(24)).run(&events, case).unwrap();
}

#[test]
fn a_day_never_gets_more_than_its_count_whoever_asks_and_dies() {
    let runtime = runtime();
    let still = std::cell::RefCell::new(runtime.block_on(Still::new()));
    let events = proptest::collection::vec((1_u32..30, prop_oneof![Just(0_i64), 1_i64..30_000, Just(86_399)]), 1..30);
    let case = |(count, events): (u32, Vec<(u32, i64)>)| {
        let mut still = still.borrow_mut();
        runtime.block_on(async {
            say(&still.database.pool, "truncate pace; delete from day_count; delete from closure").await;
            still.pass(TimeDelta::minutes(5)).await;
            let mut days: HashMap<chrono::NaiveDate, u32> = HashMap::new();
            for (wanted, secs) in events {
                let limits = still.limits(&format!("{count}/day"));
                if let Slice::Granted { count, wait, good_for, .. } = still.take(&limits, wanted).await {
                    let day = platform_time::day(still.now);
                    *days.entry(day).or_default() += count;
                    // The last use still arrives on the same day.
                    let last = still.now + wait + good_for.expect("day slots say how long they are good");
                    prop_assert_eq!(platform_time::day(last + TimeDelta::seconds(1) - wait), day);
                }
                still.pass(TimeDelta::seconds(secs)).await;
            }
            prop_assert!(days.values().all(|used| *used <= count), "{days:?} of {count}");
            Ok(())
        })
    };
    proptest::test_runner::TestRunner::new(few(16)).run(&(1_u32..40, events), case).unwrap();
}

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
    assert!((still.now + wait - midnight).abs() < TimeDelta::seconds(1), "{wait:?}");
    assert_eq!(still.one("used_today").await.as_deref(), Some("5"));
    still.set(midnight + TimeDelta::seconds(1)).await;
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

async fn said(still: &Still, appid: &str, platform_rate: Option<(i64, i64)>, rate: Option<(i64, i64)>) {
    sqlx::query("insert into wxpatrol_data.quota (platform_id, appid, endpoint, asked_at) values ($1, $2, $3, $4)")
        .bind(still.platform)
        .bind(appid)
        .bind(ENDPOINT.name())
        .bind(still.now)
        .execute(&still.database.pool)
        .await
        .unwrap();
    let store = &still.database.store;
    let quota = QuotaSaid { day: Some((5_000, 12)), rate, platform_rate };
    store.keep_quota(still.platform, appid, ENDPOINT, Ok(quota)).await.unwrap();
    store.learn_limits(still.platform, ENDPOINT).await.unwrap();
}

#[tokio::test]
async fn what_wechat_says_tightens_a_limit_never_loosens_one_and_is_forgotten_after_two_days() {
    let (mut still, set) = Still::warmed("100/s").await;
    said(&still, "wx1", Some((300, 60)), None).await;
    assert_eq!(still.pace(&set).await.0, 0.01, "one merchant alone slows nobody");
    said(&still, "wx2", Some((1_200, 60)), Some((60, 60))).await;
    assert_eq!(still.pace(&set).await.0, 0.05, "of two the more lenient");
    said(&still, "wx3", Some((600, 60)), None).await;
    assert_eq!(still.pace(&set).await, (0.1, 2), "of three the middle one, in slices of a quarter of a second");
    assert_eq!(still.one("learned_per_minute").await.as_deref(), Some("600.00"));
    assert_eq!(still.one("merchant_learned_per_minute").await.as_deref(), Some("300.00"));
    let stricter = still.limits("2/s");
    assert_eq!(still.pace(&stricter).await.0, 0.5);
    still.pass(TimeDelta::hours(49)).await;
    still.database.store.learn_limits(still.platform, ENDPOINT).await.unwrap();
    assert_eq!(still.pace(&set).await.0, 0.01);
    // Zero or missing is unknown.
    said(&still, "wx4", None, None).await;
    said(&still, "wx5", None, None).await;
    assert_eq!(still.one("learned_per_minute").await, None);
}

#[tokio::test]
async fn a_day_has_three_questions_about_an_endpoint_and_a_merchant_one_whoever_asks() {
    let (database, platform) = seeded().await;
    say(
        &database.pool,
        "insert into merchant (platform_id, appid, kind) select 1, 'wx' || n, 'mini_program' from generate_series(1, 9) n;
         insert into item (platform_id, appid, check_name, due_at, due_since, outcome)
         select 1, 'wx' || n, 'phone', clock() + interval '1 day', clock(), 'done' from generate_series(1, 9) n",
    )
    .await;
    let other = database.another_store().await;
    let question = async |store: &Store| store.take_question(platform, ENDPOINT, CheckName::Phone).await.unwrap();
    let (one, two) = tokio::join!(
        async { [question(&database.store).await, question(&database.store).await, question(&database.store).await] },
        async { [question(&other).await, question(&other).await, question(&other).await] },
    );
    let mut asked: Vec<String> = one.into_iter().chain(two).flatten().collect();
    asked.sort();
    asked.dedup();
    // A collision of two processes on one merchant may cost a question, never add one.
    assert!(!asked.is_empty() && asked.len() <= QUESTIONS_A_DAY as usize, "{asked:?}");
    assert_eq!(question(&other).await, None);
    database.advance(Duration::from_secs(86_400)).await;
    say(&database.pool, "update platform set halted_at = clock(), halt_reason = 'x', probe_at = clock()").await;
    assert_eq!(question(&other).await, None, "nobody asks while the platform is halted");
    say(&database.pool, "update platform set halted_at = null, halt_reason = null, probe_at = null").await;
    assert!(question(&other).await.is_some());
    say(&database.pool, "insert into hold (platform_id, endpoint, reason) values (1, 'quota_get', 'enough')").await;
    assert_eq!(question(&other).await, None, "an operator's hold is kept");
}

#[tokio::test]
async fn a_merchant_s_closure_waits_with_what_the_merchant_has_on_that_endpoint_and_with_nothing_else() {
    let (database, platform) = seeded().await;
    let until = database.store.read_clock().await.unwrap() + TimeDelta::hours(3);
    let waiting = "select array_agg(check_name || ' ' || appid order by check_name, appid) from wxpatrol_data.item
                    where free_at = $1 and due_at >= $1";
    for (endpoint, appid) in [(Endpoint::CheckMobile, "wxmini1"), (Endpoint::WxampLink, "wxoa")] {
        database.store.close_merchant(platform, appid, endpoint, until, Class::QuotaDay).await.unwrap();
    }
    let items: Vec<String> = sqlx::query_scalar(waiting).bind(until).fetch_one(&database.pool).await.unwrap();
    assert_eq!(items, ["ask wxmini1", "invite wxoa", "invite wxoa", "phone wxmini1"]);
    let shorter = until - TimeDelta::hours(1);
    database.store.close_merchant(platform, "wxmini1", ENDPOINT, shorter, Class::QuotaMinute).await.unwrap();
    let items: Vec<String> = sqlx::query_scalar(waiting).bind(until).fetch_one(&database.pool).await.unwrap();
    assert_eq!(items.len(), 4, "a longer closure is not shortened");
    let closed: i64 = sqlx::query_scalar("select merchants_closed from wxpatrol.limits where endpoint = 'checkmobile'")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(closed, 1);
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

#[tokio::test]
async fn what_a_dead_process_may_have_called_waits_for_the_merchant_s_limit_after_its_lease() {
    let (database, platform) = seeded().await;
    let (lease, minute) = (Duration::from_secs(60), Duration::from_secs(60));
    let other = database.another_store().await;
    for (check, gate) in [(CheckName::Callback, None), (CheckName::Ask, Some(CheckName::Phone))] {
        let wish = ClaimWish {
            platform,
            check,
            gate,
            items_max: 9,
            merchants: None,
            lease,
            losses: Losses::OnceAtMost,
            merchant_interval: minute,
        };
        say(&database.pool, "update item set due_at = clock(), outcome = null where appid = 'wxmini2'").await;
        assert_eq!(database.store.claim(wish).await.unwrap().len(), 1, "{check}");
        // It dies here. Its lease is over, the merchant's minute is not.
        database.advance(lease + Duration::from_secs(1)).await;
        assert_eq!(other.claim(wish).await.unwrap().len(), 0, "{check}");
        database.advance(minute).await;
        assert_eq!(other.claim(wish).await.unwrap().len(), 1, "{check}");
    }
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
