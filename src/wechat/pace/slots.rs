//! The slots of a lane: what is left of its slice, taken one by one, each at its time, and what stands in for a source that is
//! silent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::governed::Governor;
use crate::domain::Limit;
use crate::domain::ports::{PortError, Slice};

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
    /// The slot used last.
    pub used: Option<Instant>,
    /// How many slots were used up lately without throwing one away, doubled: how many to ask for.
    pub appetite: u32,
    /// How many the present slice began with.
    pub granted: u32,
    pub governor: Option<Governor>,
    /// When the source was asked, the last few times.
    pub asked: VecDeque<Instant>,
}

/// Slots at an even pace.
pub(super) struct Run {
    pub next: Instant,
    pub left: u32,
    pub interval: Duration,
    /// Slots without a time of their own (a count a day alone) are good until then.
    pub good_until: Option<Instant>,
}

impl Slots {
    /// From when on the source may be asked again.
    pub fn may_ask_at(&self) -> Instant {
        match self.asked.front() {
            Some(oldest) if self.asked.len() >= QUESTIONS_MAX => *oldest + Duration::from_secs(1),
            _ => Instant::now(),
        }
    }

    /// Waits for the next slot and takes it; the instant until which it is good. `None`: no slots are left.
    pub async fn take(&mut self, late_max: Duration) -> Option<Instant> {
        loop {
            let run = self.run.as_mut()?;
            if run.left == 0 {
                self.run = None;
                self.appetite = self.appetite.max(self.granted).saturating_mul(2).min(SLICE_SLOTS_MAX);
                return None;
            }
            let slot = run.next;
            let good_until = run.good_until.unwrap_or(slot + late_max);
            let mut admitted = false;
            if Instant::now() <= good_until {
                // Nothing is taken before the sleep is over: a waiter that is dropped meanwhile leaves the slot.
                sleep_until(slot).await;
                admitted = match self.governor.as_ref().map(|governor| governor.admit(slot)) {
                    None | Some(Ok(())) => true,
                    Some(Err(earliest)) if earliest <= good_until => {
                        sleep_until(earliest).await;
                        // Only the holder of the turn asks the governor, so at its own instant it admits.
                        self.governor.as_ref().is_none_or(|governor| governor.admit(earliest).is_ok())
                    }
                    // Far too soon: the shared row began anew. Such a slot must not take what the next one needs, or no
                    // slot of a slow rate would ever be in time.
                    Some(Err(_)) => false,
                };
            }
            run.left -= 1;
            run.next += run.interval;
            if admitted && Instant::now() <= good_until {
                self.used = Some(slot);
                return Some(good_until);
            }
            self.appetite = (self.appetite / 2).max(1);
        }
    }
}

/// Slots at half the rate, or this process's share of it, for a while in which the source is silent.
pub(super) fn conservative(limit: Limit, used: Option<Instant>, sharers: u32) -> Run {
    let interval = limit.spacing() * sharers.max(2);
    let now = Instant::now();
    // Without a slot used here nobody knows what other processes did: begin with a wait.
    let next = used.unwrap_or(now).max(now - interval.min(SLICE)) + interval;
    Run { next, left: slots_in(SLICE, interval), interval, good_until: None }
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

    #[tokio::test]
    async fn slow_rates_bear_lateness_up_to_a_fortieth_of_a_second() {
        for (limit, millis) in [("5000/s", 15), ("200/s", 15), ("50/s", 20), ("5/s", 25), ("1/min", 25), ("10/day", 25)]
        {
            assert_eq!(late_max(limit.parse().unwrap()), Duration::from_millis(millis), "{limit}");
        }
    }

    #[tokio::test]
    async fn a_slot_that_comes_far_too_soon_is_thrown_away_and_takes_nothing_of_the_next_one() {
        let (now, interval) = (Instant::now(), Duration::from_secs(2));
        let governor = Governor::new(interval);
        governor.as_ref().unwrap().admit(now).unwrap();
        let run = Some(Run { next: now + interval / 8, left: 2, interval, good_until: None });
        let mut slots = Slots {
            run,
            asking: None,
            silent: false,
            used: None,
            appetite: 1,
            granted: 2,
            governor,
            asked: VecDeque::new(),
        };
        // The second slot is in time for the governor; at the first one's own instant it would not be.
        let good_until = slots.take(interval / 2).await.expect("the second slot is used");
        assert_eq!(good_until, now + interval / 8 + interval + interval / 2);
    }

    #[tokio::test]
    async fn the_conservative_limit_is_half_the_rate_or_the_share_of_many_processes() {
        for (limit, sharers, interval, left) in [
            ("200/s", 1, 10, 25),
            ("200/s", 5, 25, 10),
            ("5/s", 2, 400, 1),
            ("1/min", 1, 120_000, 1),
            ("1000/day", 1, 172_800, 1),
        ] {
            let run = conservative(limit.parse().unwrap(), None, sharers);
            assert_eq!((run.interval, run.left), (Duration::from_millis(interval), left), "{limit}");
        }
    }
}
