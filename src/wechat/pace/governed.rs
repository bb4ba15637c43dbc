//! `governor` in front of the slots: two of them are never closer than the configured rate allows, whatever the source
//! hands out.
//!
//! It judges the slots by their own instants and not by the moment the timer woke us: with burst 1 and a timer of a
//! millisecond, judging the wake-ups would round every gap up and cost a tenth of the rate.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// A clock that stands at the slot being judged.
#[derive(Debug, Clone, Default)]
struct SlotClock(Arc<AtomicU64>);

impl Clock for SlotClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// The guard of one endpoint in this process.
pub(super) struct Governor {
    limiter: RateLimiter<NotKeyed, InMemoryState, SlotClock, NoOpMiddleware<Nanos>>,
    clock: SlotClock,
    origin: Instant,
}

impl Governor {
    /// A guard with burst 1.
    pub(super) fn new(interval: Duration) -> Option<Self> {
        let quota = Quota::with_period(interval)?.allow_burst(NonZeroU32::MIN);
        let clock = SlotClock::default();
        Some(Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock, origin: Instant::now() })
    }

    /// Admits a call at this instant, or says the earliest instant at which one may be admitted.
    pub(super) fn admit(&self, at: Instant) -> Result<(), Instant> {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        self.clock.0.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.limiter
            .check()
            .map_err(|not_until| self.origin + Duration::from_nanos(not_until.earliest_possible().as_u64()))
    }
}
