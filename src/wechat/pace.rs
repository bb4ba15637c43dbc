//! The pace of every endpoint: who may call, and when.
//!
//! The truth is with the [`SliceSource`], which all processes share; here its slices are paced on the monotonic clock.
//! Waiters of one endpoint are served in the order they came. A slot that cannot be used in time is thrown away, never
//! saved. Nothing here ends in a call: a [`Permit`] is good for a moment only, and says whether it still is.

mod governed;
mod lane;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::lane::Lane;
use self::slots::Leftover;
use crate::domain::ports::SliceSource;
use crate::domain::{Endpoint, Limit, PlatformId};

/// The limit of each endpoint; `None`, and an endpoint that is not named, mean unlimited.
pub type PaceConfig = HashMap<Endpoint, Option<Limit>>;

/// The right to make one call now.
#[derive(Debug)]
#[must_use = "a permit that is dropped is a slot thrown away"]
pub struct Permit {
    /// `None`: the endpoint is unlimited.
    slot: Option<Slot>,
}

/// A slot on its way to a call.
#[derive(Debug)]
struct Slot {
    /// Not before this, and
    at: Instant,
    /// no later than this.
    good_until: Instant,
    /// When the slice was granted that it is of.
    granted_at: Instant,
    leftover: Arc<Leftover>,
    called: AtomicBool,
}

impl Permit {
    const UNLIMITED: Self = Self { slot: None };

    /// Waits until the call may be made: at once, unless the permit was wanted ahead of its slot. May be repeated.
    pub async fn due(&self) {
        if let Some(slot) = &self.slot {
            sleep_until(slot.at).await;
        }
    }

    /// Whether the call may still be made; it counts as made when so. A permit that is held too long would bunch calls that
    /// were spaced.
    #[must_use]
    pub fn still_good(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| {
            let good = Instant::now() <= slot.good_until;
            slot.called.fetch_or(good, Ordering::Relaxed);
            good
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !*self.called.get_mut() {
            self.leftover.add(1, self.granted_at);
        }
    }
}

/// The endpoint is closed: nothing before `wait` is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint is closed for {wait:?}")]
pub struct Closed {
    /// Time until the endpoint opens.
    pub wait: Duration,
}

/// The pace of all endpoints of all platforms in this process.
pub struct Pace {
    source: Arc<dyn SliceSource>,
    config: PaceConfig,
    /// One for each platform and limited endpoint that was ever asked for.
    lanes: Mutex<HashMap<(PlatformId, Endpoint), Arc<Lane>>>,
}

impl Pace {
    /// A pace over the limits that all processes share.
    #[must_use]
    pub fn new(source: Arc<dyn SliceSource>, config: PaceConfig) -> Self {
        Self { source, config, lanes: Mutex::default() }
    }

    /// Waits for the next slot. Waiters are served in order; dropping the future gives the place up and wastes nothing
    /// but, at most, one slot. An unlimited endpoint answers at once, without asking anybody, unless it is closed here.
    ///
    /// # Errors
    /// The endpoint is closed, and for how long.
    pub async fn permit(&self, platform: PlatformId, endpoint: Endpoint) -> Result<Permit, Closed> {
        self.permit_ahead(platform, endpoint, 0, Duration::ZERO).await
    }

    /// The same for a caller that knows how many more permits it wants right after this one (slices are as large as the
    /// work is), and that has something to do for so long before its call: its permit comes that long `ahead` of its slot, or
    /// as long as slots are known ahead, and [`Permit::due`] waits for the rest.
    ///
    /// # Errors
    /// As [`Self::permit`].
    pub async fn permit_ahead(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        following: usize,
        ahead: Duration,
    ) -> Result<Permit, Closed> {
        let lane = match self.config.get(&endpoint).copied().flatten() {
            Some(_) => self.lane(platform, endpoint),
            // An unlimited endpoint has a lane only after it was closed.
            None => match self.known_lane(platform, endpoint) {
                Some(lane) => lane,
                None => return Ok(Permit::UNLIMITED),
            },
        };
        lane.permit(following, ahead).await
    }

    /// Counts what limits in shadow have seen and nobody has counted yet, and gives back what no call was made with. For an
    /// orderly end; may be repeated.
    pub async fn settle(&self) {
        let lanes: Vec<Arc<Lane>> =
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            lane.count_shadow().await;
            lane.give_back().await;
        }
    }

    /// Closes an endpoint for this process: everyone who waits is told so at once. A shorter closure does not shorten a
    /// longer one.
    pub fn close(&self, platform: PlatformId, endpoint: Endpoint, wait: Duration) {
        self.lane(platform, endpoint).close(wait);
    }

    fn known_lane(&self, platform: PlatformId, endpoint: Endpoint) -> Option<Arc<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).get(&(platform, endpoint)).cloned()
    }

    fn lane(&self, platform: PlatformId, endpoint: Endpoint) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry((platform, endpoint)).or_insert_with(|| {
            let limit = self.config.get(&endpoint).copied().flatten();
            Arc::new(Lane::new(platform, endpoint, limit, Arc::clone(&self.source)))
        });
        Arc::clone(lane)
    }
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pace").field("config", &self.config).finish_non_exhaustive()
    }
}
