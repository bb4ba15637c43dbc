//! The slots of a lane: what is left of its slice, taken one by one, each at its time, and those that no call was made with.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::Slot;
use super::governed::Governor;
use crate::domain::Limit;
use crate::domain::ports::{PortError, Slice, Unused};

/// One slice holds about this much time's worth of slots.
const SLICE: Duration = Duration::from_millis(250);
/// A slot used later than this is thrown away: late slots bunch up with the ones behind them.
const LATE_MAX: Duration = Duration::from_millis(15);
/// The same for slow rates: a fortieth of a second.
const LATE_SLOW_MAX: Duration = Duration::from_millis(25);
/// A slice of a limit that has no rate, only a count for the day, is this part of it, and no more than the second figure.
const DAY_SLICES: u32 = 40;
const DAY_SLICE_MAX: u32 = 1_000;
/// No slice holds more slots than this.
const SLICE_SLOTS_MAX: u32 = 10_000;
/// The source is asked so often in a second at most: each question is a statement in Postgres.
pub(super) const QUESTIONS_MAX: usize = 5;

/// What is left of the slices, and the question that is out.
pub(super) struct Slots {
    pub run: Option<Run>,
    pub asking: Option<JoinHandle<(Instant, Result<Slice, PortError>)>>,
    /// The source did not answer last time.
    pub silent: bool,
    /// How many slots were used up lately without throwing one away, doubled: how many to ask for.
    pub appetite: u32,
    /// How many the present slice began with.
    pub granted: u32,
    pub governor: Option<Governor>,
    /// When the source was asked, the last few times.
    pub asked: VecDeque<Instant>,
    /// Slots that no call was made with.
    pub leftover: Arc<Leftover>,
}

/// Slots that no call was made with, until they are given back, and when the oldest of them was granted.
#[derive(Debug, Default)]
pub(super) struct Leftover(Mutex<(u32, Option<Instant>)>);

impl Leftover {
    pub fn add(&self, slots: u32, granted_at: Instant) {
        if slots > 0 {
            let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest = left.1.map_or(granted_at, |oldest| oldest.min(granted_at));
            *left = (left.0.saturating_add(slots), Some(oldest));
        }
    }

    pub fn drain(&self) -> Unused {
        let (slots, oldest) = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Unused { slots, age: oldest.map(|oldest| oldest.elapsed()).unwrap_or_default(), more: false }
    }

    pub fn put_back(&self, unused: Unused) {
        self.add(unused.slots, Instant::now().checked_sub(unused.age).unwrap_or_else(Instant::now));
    }
}

/// Slots at an even pace.
pub(super) struct Run {
    pub next: Instant,
    pub left: u32,
    pub interval: Duration,
    /// Slots without a time of their own (a count a day alone) are good until then.
    pub good_until: Option<Instant>,
    /// When the slice was granted.
    pub granted_at: Instant,
}

impl Slots {
    /// From when on the source may be asked again.
    pub fn may_ask_at(&self) -> Instant {
        match self.asked.front() {
            Some(oldest) if self.asked.len() >= QUESTIONS_MAX => *oldest + Duration::from_secs(1),
            _ => Instant::now(),
        }
    }

    /// Waits until so long ahead of the next slot, and takes it. `None`: no slots are left.
    pub async fn take(&mut self, late_max: Duration, ahead: Duration) -> Option<Slot> {
        let sleep_until_before = |at: Instant| sleep_until(at.checked_sub(ahead).unwrap_or(at));
        loop {
            let run = self.run.as_mut()?;
            if run.left == 0 {
                self.run = None;
                self.appetite = self.appetite.max(self.granted).saturating_mul(2).min(SLICE_SLOTS_MAX);
                return None;
            }
            let (slot, granted_at) = (run.next, run.granted_at);
            let good_until = run.good_until.unwrap_or(slot + late_max);
            let mut admitted_at = None;
            if Instant::now() <= good_until {
                // Nothing is taken before the sleep is over: a waiter that is dropped meanwhile leaves the slot.
                sleep_until_before(slot).await;
                admitted_at = match self.governor.as_ref().map(|governor| governor.admit(slot)) {
                    None | Some(Ok(())) => Some(slot),
                    Some(Err(earliest)) if earliest <= good_until => {
                        sleep_until_before(earliest).await;
                        // Only the holder of the turn asks the governor, so at its own instant it admits.
                        let admits = self.governor.as_ref().is_none_or(|governor| governor.admit(earliest).is_ok());
                        admits.then_some(earliest)
                    }
                    // Far too soon: the shared row began anew. Such a slot must not take what the next one needs, or no
                    // slot of a slow rate would ever be in time.
                    Some(Err(_)) => None,
                };
            }
            run.left -= 1;
            run.next += run.interval;
            if let Some(at) = admitted_at
                && Instant::now() <= good_until
            {
                let leftover = Arc::clone(&self.leftover);
                return Some(Slot { at, good_until, granted_at, leftover, called: AtomicBool::new(false) });
            }
            self.leftover.add(1, granted_at);
            self.appetite = (self.appetite / 2).max(1);
        }
    }
}

pub(super) fn slice_slots(limit: Limit) -> u32 {
    match limit.interval() {
        Some(interval) => slots_in(SLICE, interval),
        None => (limit.per_day().unwrap_or(u32::MAX) / DAY_SLICES).clamp(1, DAY_SLICE_MAX),
    }
}

fn slots_in(time: Duration, interval: Duration) -> u32 {
    let slots = time.as_nanos() / interval.as_nanos().max(1);
    u32::try_from(slots).unwrap_or(u32::MAX).clamp(1, SLICE_SLOTS_MAX)
}

pub(super) fn late_max(limit: Limit) -> Duration {
    limit.spacing().clamp(LATE_MAX, LATE_SLOW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_rates_bear_lateness_up_to_a_fortieth_of_a_second() {
        for (limit, millis) in [("5000/s", 15), ("200/s", 15), ("50/s", 20), ("5/s", 25), ("1/min", 25), ("10/day", 25)]
        {
            assert_eq!(late_max(limit.parse().unwrap()), Duration::from_millis(millis), "{limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_comes_far_too_soon_is_thrown_away_and_takes_nothing_of_the_next_one() {
        let (now, interval) = (Instant::now(), Duration::from_secs(2));
        let governor = Governor::new(interval);
        governor.as_ref().unwrap().admit(now).unwrap();
        let run = Some(Run { next: now + interval / 8, left: 2, interval, good_until: None, granted_at: now });
        let mut slots = Slots {
            run,
            asking: None,
            silent: false,
            appetite: 1,
            granted: 2,
            governor,
            asked: VecDeque::new(),
            leftover: Arc::default(),
        };
        // The second slot is in time for the governor; at the first one's own instant it would not be.
        let slot = slots.take(interval / 2, Duration::ZERO).await.expect("the second slot is used");
        assert_eq!(slots.leftover.drain().slots, 1);
        assert_eq!(slot.good_until, now + interval / 8 + interval + interval / 2);
    }
}
