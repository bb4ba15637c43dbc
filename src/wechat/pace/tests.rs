//! The pace against a fake source that hands out slots as the shared row in Postgres does, on a clock that moves when everybody
//! waits: what is measured here does not depend on the machine.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use async_trait::async_trait;
use rand::RngExt;

use super::*;
use crate::domain::ports::{PortError, Slice, Unused};

/// The GCRA row: one time, moved forward by what is handed out.
struct Row {
    tat: Mutex<Option<Instant>>,
    interval: Duration,
    latency_max: Duration,
    asked: AtomicUsize,
    silent: AtomicBool,
    failing: AtomicBool,
    closed: Mutex<Option<Duration>>,
    in_shadow: AtomicUsize,
    granted: AtomicU32,
    unused: AtomicU32,
}

impl Row {
    fn new(per_second: f64, latency_max: Duration) -> Arc<Self> {
        Arc::new(Self {
            tat: Mutex::default(),
            interval: Duration::from_secs_f64(1.0 / per_second),
            latency_max,
            asked: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            closed: Mutex::default(),
            in_shadow: AtomicUsize::new(0),
            granted: AtomicU32::new(0),
            unused: AtomicU32::new(0),
        })
    }

    async fn latency(&self) {
        if !self.latency_max.is_zero() {
            let latency = rand::rng().random_range(Duration::ZERO..self.latency_max);
            tokio::time::sleep(latency).await;
        }
    }
}

#[async_trait]
impl SliceSource for Row {
    async fn take_slice(&self, _: PlatformId, _: Endpoint, wanted: u32, unused: Unused) -> Result<Slice, PortError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.latency().await;
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.failing.load(Ordering::Relaxed) {
            return Err(PortError("no connection".to_owned()));
        }
        self.unused.fetch_add(unused.slots, Ordering::Relaxed);
        self.granted.fetch_add(wanted, Ordering::Relaxed);
        if let Some(wait) = *self.closed.lock().unwrap() {
            return Ok(Slice::Closed { wait });
        }
        let answer = {
            let now = Instant::now();
            let mut tat = self.tat.lock().unwrap();
            let first = tat.map_or(now, |tat| tat.max(now));
            if first > now + Duration::from_secs(2) {
                return Ok(Slice::Later { wait: first - now - Duration::from_secs(2) });
            }
            *tat = Some(first + self.interval * wanted);
            Slice::Granted { count: wanted, wait: first - now, interval: self.interval, good_for: None }
        };
        self.latency().await;
        Ok(answer)
    }

    async fn count_in_shadow(&self, _: PlatformId, _: Endpoint, calls: u32) -> Result<u64, PortError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.failing.load(Ordering::Relaxed) {
            return Err(PortError("no connection".to_owned()));
        }
        Ok(self.in_shadow.fetch_add(calls as usize, Ordering::Relaxed) as u64)
    }
}

fn pace(limit: &str, source: &Arc<Row>) -> Arc<Pace> {
    let limit = limit.parse().unwrap();
    Arc::new(Pace::new(
        Arc::clone(source) as Arc<dyn SliceSource>,
        HashMap::from([(Endpoint::CheckMobile, Some(limit))]),
    ))
}

/// The instants at which permits came, over this time, with so many tasks that always want one.
async fn arrivals(paces: &[Arc<Pace>], tasks: usize, time: Duration) -> Vec<Instant> {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let end = Instant::now() + time;
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let (pace, arrived) = (Arc::clone(&paces[task % paces.len()]), Arc::clone(&arrived));
        running.spawn(tokio::time::timeout_at(end, async move {
            loop {
                let permit = pace.permit(1, Endpoint::CheckMobile).await.unwrap();
                if permit.still_good() {
                    arrived.lock().unwrap().push(Instant::now());
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    while running.join_next().await.is_some() {}
    let mut arrived = arrived.lock().unwrap().clone();
    arrived.sort();
    arrived
}

/// The most arrivals in any window of this length.
fn most_in(window: Duration, arrivals: &[Instant]) -> usize {
    let mut first = 0;
    arrivals
        .iter()
        .enumerate()
        .map(|(last, at)| {
            while *at - arrivals[first] >= window {
                first += 1;
            }
            last + 1 - first
        })
        .max()
        .unwrap_or(0)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn at_least_97_percent_of_the_rate_is_used_and_never_more_than_limit_and_burst() {
    let source = Row::new(197.0, Duration::from_millis(4));
    let arrived = arrivals(&[pace("200/s", &source), pace("200/s", &source)], 128, 30 * SECOND).await;
    let (most, asked) = (most_in(SECOND, &arrived), source.asked.load(Ordering::Relaxed));
    // The first slot stands at the beginning: count the gaps.
    let rate = (arrived.len() - 1) as f64 / 30.0;
    assert!(most <= 205, "{most} in a second");
    assert!(asked <= 2 * 5 * 31, "{asked} questions");
    assert!(rate >= 194.0, "only {rate:.1}/s");
}

#[tokio::test(start_paused = true)]
async fn a_rate_above_the_timers_ticks_is_reached() {
    let source = Row::new(4925.0, Duration::from_millis(4));
    let arrived = arrivals(&[pace("5000/s", &source)], 256, 2 * SECOND).await;
    println!("{:.1}/s, at most {} in a second", arrived.len() as f64 / 2.0, most_in(SECOND, &arrived));
    assert!(most_in(SECOND, &arrived) <= 5125);
    assert!(arrived.len() > 2500, "only {} in two seconds", arrived.len());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hands_out_too_much_is_held_to_the_configured_rate() {
    let source = Row::new(2000.0, Duration::ZERO);
    let arrived = arrivals(&[pace("200/s", &source)], 64, 2 * SECOND).await;
    assert!(most_in(SECOND, &arrived) <= 205, "{} in a second", most_in(SECOND, &arrived));
}

#[tokio::test(start_paused = true)]
async fn nobody_calls_while_the_source_fails_and_the_whole_rate_is_back_when_it_answers() {
    let source = Row::new(197.0, Duration::ZERO);
    source.failing.store(true, Ordering::Relaxed);
    let pace = pace("200/s", &source);
    assert_eq!(arrivals(&[Arc::clone(&pace)], 16, SECOND).await.len(), 0);
    assert!(source.asked.load(Ordering::Relaxed) <= 6, "a source that fails is asked five times a second");
    source.failing.store(false, Ordering::Relaxed);
    let arrived = arrivals(&[pace], 16, 3 * SECOND).await;
    assert!(most_in(SECOND, &arrived) > 120, "{} in a second, the source answers again", most_in(SECOND, &arrived));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_cut_off_adds_nothing_to_what_the_others_take() {
    let source = Row::new(197.0, Duration::ZERO);
    let cut_off = Row::new(197.0, Duration::ZERO);
    cut_off.silent.store(true, Ordering::Relaxed);
    let arrived = arrivals(&[pace("200/s", &source), pace("200/s", &cut_off)], 16, 3 * SECOND).await;
    assert!(most_in(SECOND, &arrived) <= 205, "{} in a second", most_in(SECOND, &arrived));
    assert_eq!(cut_off.asked.load(Ordering::Relaxed), 1, "a question that hangs is not asked twice within seconds");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_never_answered_is_asked_again() {
    let source = Row::new(197.0, Duration::ZERO);
    source.silent.store(true, Ordering::Relaxed);
    let pace = pace("200/s", &source);
    let waiter = tokio::spawn(async move { pace.permit(1, Endpoint::CheckMobile).await.is_ok() });
    while source.asked.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        source.silent.store(source.asked.load(Ordering::Relaxed) == 0, Ordering::Relaxed);
    }
    assert!(waiter.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn slots_that_nobody_calls_with_are_given_back() {
    let source = Row::new(1000.0, Duration::ZERO);
    let pace = pace("1000/s", &source);
    for n in 0..40 {
        let permit = pace.permit_ahead(1, Endpoint::CheckMobile, 100, Duration::ZERO).await.unwrap();
        assert!(n % 2 == 0 || permit.still_good());
    }
    pace.settle().await;
    let (granted, unused) = (source.granted.load(Ordering::Relaxed), source.unused.load(Ordering::Relaxed));
    assert_eq!(granted - unused, 20, "{granted} were granted, {unused} came back");
}

#[tokio::test(start_paused = true)]
async fn calls_that_take_time_to_prepare_are_spaced_as_those_that_take_none() {
    let pace = pace("200/s", &Row::new(197.0, Duration::from_millis(4)));
    let (arrived, end) = (Arc::new(Mutex::new(Vec::new())), Instant::now() + 3 * SECOND);
    let mut preparing = tokio::task::JoinSet::new();
    while Instant::now() < end {
        let ahead = Duration::from_millis(80);
        let permit = pace.permit_ahead(1, Endpoint::CheckMobile, 50, ahead).await.unwrap();
        let (takes, arrived) = (rand::rng().random_range(Duration::ZERO..ahead), Arc::clone(&arrived));
        preparing.spawn(async move {
            tokio::time::sleep(takes).await;
            permit.due().await;
            if permit.still_good() {
                arrived.lock().unwrap().push(Instant::now());
            }
        });
    }
    preparing.join_all().await;
    let mut arrived = arrived.lock().unwrap().clone();
    arrived.sort();
    assert!(arrived.len() >= 3 * 197 - 20, "{}", arrived.len());
    // The governor keeps slots 5 ms apart, and a call is made up to 15 ms after its slot: so a window of calls is a window of
    // slots that is 15 ms longer. Calls that do not wait for their slots pass one of the two.
    assert!(most_in(SECOND, &arrived) <= 204, "{}", most_in(SECOND, &arrived));
    assert!(most_in(SECOND / 20, &arrived) <= 14, "{} in a twentieth", most_in(SECOND / 20, &arrived));
}

#[tokio::test(start_paused = true)]
async fn a_slow_rate_is_spaced_evenly() {
    let source = Row::new(4.925, Duration::ZERO);
    let arrived = arrivals(&[pace("5/s", &source)], 8, 3 * SECOND).await;
    assert!(arrived.len() >= 12, "{}", arrived.len());
    assert!(most_in(SECOND, &arrived) <= 6);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_they_came() {
    let pace = pace("100/s", &Row::new(100.0, Duration::ZERO));
    let served = Arc::new(Mutex::new(Vec::new()));
    let waiters = (0..20).map(|n| {
        let (pace, served) = (Arc::clone(&pace), Arc::clone(&served));
        async move {
            let _permit = pace.permit(1, Endpoint::CheckMobile).await.unwrap();
            served.lock().unwrap().push(n);
        }
    });
    futures_util::future::join_all(waiters).await;
    assert_eq!(*served.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn closing_tells_everyone_who_waits_and_no_other_platform() {
    let pace = pace("1/min", &Row::new(1.0 / 60.0, Duration::ZERO));
    let _first = pace.permit(1, Endpoint::CheckMobile).await.unwrap();
    let close = async {
        tokio::task::yield_now().await;
        pace.close(1, Endpoint::CheckMobile, 30 * SECOND);
        pace.close(1, Endpoint::CheckMobile, SECOND);
    };
    let permit = || pace.permit(1, Endpoint::CheckMobile);
    let (one, two, ()) = tokio::join!(permit(), permit(), close);
    for closed in [one.unwrap_err(), two.unwrap_err(), permit().await.unwrap_err()] {
        assert!((29 * SECOND..=30 * SECOND).contains(&closed.wait), "{closed:?}");
    }
    assert!(pace.permit(2, Endpoint::WxampLinkGet).await.is_ok(), "another endpoint is closed too");
}

#[tokio::test(start_paused = true)]
async fn a_closure_ends_by_itself() {
    let pace = pace("100/s", &Row::new(100.0, Duration::ZERO));
    pace.close(1, Endpoint::CheckMobile, Duration::from_millis(50));
    let closed = pace.permit(1, Endpoint::CheckMobile).await.unwrap_err();
    tokio::time::sleep(closed.wait).await;
    assert!(pace.permit(1, Endpoint::CheckMobile).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_closed_source_closes_the_lane() {
    let source = Row::new(10.0, Duration::ZERO);
    *source.closed.lock().unwrap() = Some(40 * SECOND);
    let pace = pace("10/s", &source);
    assert_eq!(pace.permit(1, Endpoint::CheckMobile).await.unwrap_err(), Closed { wait: 40 * SECOND });
    assert!(pace.permit(1, Endpoint::CheckMobile).await.is_err());
    assert_eq!(source.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_endpoint_asks_nobody() {
    let source = Row::new(1.0, Duration::ZERO);
    let pace = pace("1/s", &source);
    for _ in 0..10_000 {
        assert!(pace.permit(1, Endpoint::WxampLinkGet).await.unwrap().still_good());
    }
    assert_eq!(source.asked.load(Ordering::Relaxed), 0);
    pace.close(1, Endpoint::WxampLinkGet, SECOND);
    assert!(pace.permit(1, Endpoint::WxampLinkGet).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_permit_goes_bad() {
    let permit = |good_until| {
        let (granted_at, leftover) = (Instant::now(), Arc::default());
        Permit { slot: Some(Slot { at: granted_at, good_until, granted_at, leftover, called: AtomicBool::new(false) }) }
    };
    assert!(permit(Instant::now() + SECOND).still_good());
    assert!(!permit(Instant::now() - Duration::from_nanos(1)).still_good());
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_nobody_used_expires() {
    let source = Row::new(100.0, Duration::ZERO);
    let pace = pace("100/s", &source);
    // Twenty waiters make the lane ask for twenty slots; one is used and the others are dropped.
    let mut waiters: futures_util::stream::FuturesUnordered<_> =
        (0..20).map(|_| pace.permit(1, Endpoint::CheckMobile)).collect();
    let _permit = futures_util::StreamExt::next(&mut waiters).await.unwrap().unwrap();
    drop(waiters);
    tokio::time::sleep(SECOND).await;
    let arrived = arrivals(&[pace], 8, SECOND / 2).await;
    assert!(most_in(SECOND / 10, &arrived) <= 14, "{} in a tenth", most_in(SECOND / 10, &arrived));
}

#[tokio::test(start_paused = true)]
async fn the_source_is_asked_at_most_five_times_a_second_whatever_it_says_and_whoever_waits() {
    for (limit, per_second, latency) in
        [("200/s", 197.0, 4), ("5000/s", 40.0, 1), ("7/s", 1000.0, 0), ("90000/day", 1e6, 1)]
    {
        let source = Row::new(per_second, Duration::from_millis(latency));
        let began = Instant::now();
        arrivals(&[pace(limit, &source)], 16, 3 * SECOND).await;
        let (asked, secs) = (source.asked.load(Ordering::Relaxed), began.elapsed().as_secs() as usize + 1);
        assert!(asked <= 5 * secs, "{limit}: {asked} questions in {secs} seconds");
        assert!(asked > 1, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_knows_what_follows_gets_it_in_one_slice() {
    let source = Row::new(1000.0, Duration::ZERO);
    let pace = pace("1000/s", &source);
    for following in (0..100).rev() {
        let _permit = pace.permit_ahead(1, Endpoint::CheckMobile, following, Duration::ZERO).await.unwrap();
    }
    assert!(source.asked.load(Ordering::Relaxed) <= 2, "{} questions", source.asked.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_limit_in_shadow_holds_nothing_back_and_every_call_is_counted_once() {
    let source = Row::new(1.0, Duration::ZERO);
    let pace = pace("1/min shadow", &source);
    source.failing.store(true, Ordering::Relaxed);
    for _ in 0..5_000 {
        assert!(pace.permit(1, Endpoint::CheckMobile).await.unwrap().still_good());
    }
    pace.settle().await;
    assert_eq!(source.in_shadow.load(Ordering::Relaxed), 0, "nobody could count them yet");
    source.failing.store(false, Ordering::Relaxed);
    pace.settle().await;
    pace.settle().await;
    assert_eq!(source.in_shadow.load(Ordering::Relaxed), 5_000);
    assert!(source.asked.load(Ordering::Relaxed) <= 4, "they are counted together");
    pace.close(1, Endpoint::CheckMobile, SECOND);
    assert!(pace.permit(1, Endpoint::CheckMobile).await.is_err(), "a closure is kept all the same");
}
