//! Counts what arrives at an endpoint and what it is answered, keeps arrival times, and refuses what is over the limit.
//!
//! Times here are real microseconds since the start of the server; the simulated clock's shift does not touch them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A gap that one step cannot hold is written as this step, which is no arrival, as often as needed.
const LONG_GAP: u32 = u32::MAX;

/// What an endpoint has seen so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointCounts {
    /// Calls that arrived, whatever became of them.
    pub arrived: u64,
    /// Calls answered well and readably.
    pub ok: u64,
    /// Calls without a readable answer (cut, hung, HTML, truncated, ...).
    pub unreadable: u64,
    /// Answers by errcode other than 0.
    pub by_errcode: BTreeMap<i64, u64>,
    /// Calls per second that are admitted, where there is a limit.
    pub limit_per_second: Option<u32>,
    /// The most arrivals in any second.
    pub worst_second: usize,
    /// Calls admitted per second between the first and the last one, as a share of the limit.
    pub used_share: Option<f64>,
    /// Arrivals counted but not kept, because the space for them was used up or the switch was off.
    pub arrivals_not_kept: u64,
}

/// The counts of one endpoint, and its limit.
pub(super) struct Gauge {
    arrived: AtomicU64,
    ok: AtomicU64,
    unreadable: AtomicU64,
    not_kept: AtomicU64,
    errcodes: Mutex<BTreeMap<i64, u64>>,
    door: Mutex<Door>,
    kept_max: usize,
}

struct Door {
    limit: Option<u32>,
    /// Arrival times of the calls admitted within the last second, oldest first.
    admitted: VecDeque<u64>,
    keep: bool,
    steps: Vec<u32>,
    kept: usize,
    last_at: u64,
    /// Of those kept.
    refused: u64,
}

pub(super) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gauge {
    pub(super) fn new(limit: Option<u32>, keep: bool, kept_max: usize) -> Self {
        Self {
            arrived: AtomicU64::new(0),
            ok: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            not_kept: AtomicU64::new(0),
            errcodes: Mutex::default(),
            door: Mutex::new(Door {
                limit,
                admitted: VecDeque::new(),
                keep,
                steps: Vec::new(),
                kept: 0,
                last_at: 0,
                refused: 0,
            }),
            kept_max,
        }
    }

    /// Counts one arrival. False: it is over the limit.
    pub(super) fn arrive(&self, start: Instant) -> bool {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        let mut door = hold(&self.door);
        // Read under the lock, so that the times kept never go backwards.
        let now = micros(start.elapsed());
        let kept = door.keep && door.kept < self.kept_max;
        if kept {
            door.keep_arrival(now);
        } else {
            self.not_kept.fetch_add(1, Ordering::Relaxed);
        }
        let admitted = door.admit(now);
        door.refused += u64::from(kept && !admitted);
        admitted
    }

    pub(super) fn answered(&self, errcode: i64) {
        if errcode == 0 {
            self.ok.fetch_add(1, Ordering::Relaxed);
        } else {
            *hold(&self.errcodes).entry(errcode).or_default() += 1;
        }
    }

    pub(super) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn keep(&self, keep: bool) {
        hold(&self.door).keep = keep;
    }

    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    pub(super) fn limit_now(&self) -> Option<u32> {
        hold(&self.door).limit
    }

    pub(super) fn limit(&self, limit: Option<u32>) {
        let mut door = hold(&self.door);
        door.limit = limit;
        door.admitted.clear();
    }

    /// Forgets counts and arrival times; the limit's window stays.
    pub(super) fn reset(&self) {
        for count in [&self.arrived, &self.ok, &self.unreadable, &self.not_kept] {
            count.store(0, Ordering::Relaxed);
        }
        hold(&self.errcodes).clear();
        let mut door = hold(&self.door);
        door.steps = Vec::new();
        door.kept = 0;
        door.last_at = 0;
        door.refused = 0;
    }

    /// Arrival times in order, as microseconds since the start of the server.
    pub(super) fn arrivals(&self) -> Vec<u64> {
        let door = hold(&self.door);
        let mut at = 0;
        let mut arrivals = Vec::with_capacity(door.kept);
        for step in &door.steps {
            at += u64::from(*step);
            if *step != LONG_GAP {
                arrivals.push(at);
            }
        }
        arrivals
    }

    pub(super) fn counts(&self) -> EndpointCounts {
        let arrivals = self.arrivals();
        let (limit_per_second, refused) = {
            let door = hold(&self.door);
            (door.limit, door.refused)
        };
        let by_errcode = hold(&self.errcodes).clone();
        EndpointCounts {
            arrived: self.arrived(),
            ok: self.ok.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
            limit_per_second,
            worst_second: worst_window(&arrivals, Duration::from_secs(1)),
            used_share: limit_per_second.and_then(|limit| {
                let admitted = (arrivals.len() as u64).saturating_sub(refused);
                used_share(&arrivals, admitted, f64::from(limit))
            }),
            arrivals_not_kept: self.not_kept.load(Ordering::Relaxed),
            by_errcode,
        }
    }
}

impl Door {
    fn keep_arrival(&mut self, now: u64) {
        let mut gap = now - self.last_at;
        while gap >= u64::from(LONG_GAP) {
            self.steps.push(LONG_GAP);
            gap -= u64::from(LONG_GAP);
        }
        self.steps.push(u32::try_from(gap).expect("the loop above leaves less than a long gap"));
        self.kept += 1;
        self.last_at = now;
    }

    fn admit(&mut self, now: u64) -> bool {
        let Some(limit) = self.limit else { return true };
        while self.admitted.front().is_some_and(|at| now - at >= 1_000_000) {
            self.admitted.pop_front();
        }
        if self.admitted.len() >= limit as usize {
            return false;
        }
        self.admitted.push_back(now);
        true
    }
}

/// A duration in whole microseconds; more than half a million years is cut off.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The most arrivals in any half-open window of this length. `arrivals` is in order.
pub(super) fn worst_window(arrivals: &[u64], window: Duration) -> usize {
    let window = micros(window);
    let mut oldest = 0;
    let mut worst = 0;
    for (newest, at) in arrivals.iter().enumerate() {
        while at - arrivals[oldest] >= window && oldest < newest {
            oldest += 1;
        }
        worst = worst.max(newest + 1 - oldest);
    }
    worst
}

/// `count` calls over the time between the first and the last arrival, as a share of `per_second`; `None` when fewer
/// than two arrived.
pub(super) fn used_share(arrivals: &[u64], count: u64, per_second: f64) -> Option<f64> {
    let span = arrivals.last()?.checked_sub(*arrivals.first()?).filter(|span| *span > 0)?;
    // Between n arrivals there are n - 1 intervals.
    Some(count.saturating_sub(1) as f64 / (span as f64 / 1e6) / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(limit: u32) -> Door {
        let gauge = Gauge::new(Some(limit), true, 10);
        gauge.door.into_inner().unwrap()
    }

    #[test]
    fn the_limit_slides_and_refused_calls_take_no_place_in_it() {
        let mut door = door(2);
        let admitted = [0, 400_000, 999_999, 1_000_000, 1_399_999, 1_400_000, 1_400_001].map(|at| door.admit(at));
        assert_eq!(admitted, [true, true, false, true, false, true, false]);
    }

    #[test]
    fn an_arrival_after_hours_of_silence_keeps_its_time() {
        let gauge = Gauge::new(None, true, 10);
        for at in [5, 5, 3 * u64::from(LONG_GAP) + 7] {
            hold(&gauge.door).keep_arrival(at);
        }
        assert_eq!(gauge.arrivals(), [5, 5, 3 * u64::from(LONG_GAP) + 7]);
    }
}
