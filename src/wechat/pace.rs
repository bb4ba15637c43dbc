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
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::lane::Lane;
use crate::domain::ports::SliceSource;
use crate::domain::{Endpoint, Limit, PlatformId};

/// The limit of each endpoint; `None`, and an endpoint that is not named, mean unlimited.
pub type PaceConfig = HashMap<Endpoint, Option<Limit>>;

/// The right to make one call now.
#[derive(Debug)]
#[must_use = "a permit that is dropped is a slot thrown away"]
pub struct Permit {
    /// `None`: the endpoint is unlimited.
    good_until: Option<Instant>,
}

impl Permit {
    /// Whether the call may still be made. A permit that is held too long would bunch calls that were spaced.
    #[must_use]
    pub fn still_good(&self) -> bool {
        self.good_until.is_none_or(|until| Instant::now() <= until)
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
    /// Processes that share the limits, this one included, as last heard.
    sharers: Arc<AtomicU32>,
}

impl Pace {
    /// A pace over the limits that all processes share.
    #[must_use]
    pub fn new(source: Arc<dyn SliceSource>, config: PaceConfig) -> Self {
        Self { source, config, lanes: Mutex::default(), sharers: Arc::new(AtomicU32::new(1)) }
    }

    /// Waits for the next slot. Waiters are served in order; dropping the future gives the place up and wastes nothing
    /// but, at most, one slot. An unlimited endpoint answers at once, without asking anybody, unless it is closed here.
    pub async fn permit(&self, platform: PlatformId, endpoint: Endpoint) -> Result<Permit, Closed> {
        self.permit_before(platform, endpoint, 0).await
    }

    /// The same for a caller that knows how many more permits it wants right after this one: slices are as large as the
    /// work is.
    pub async fn permit_before(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        following: usize,
    ) -> Result<Permit, Closed> {
        let lane = match self.config.get(&endpoint).copied().flatten() {
            Some(_) => self.lane(platform, endpoint),
            // An unlimited endpoint has a lane only after it was closed.
            None => match self.known_lane(platform, endpoint) {
                Some(lane) => lane,
                None => return Ok(Permit { good_until: None }),
            },
        };
        lane.permit(following).await
    }

    /// How many processes share the limits, this one included. While the source is silent nobody takes more than such a
    /// share, and half of the limit at most.
    pub fn share_among(&self, processes: u32) {
        self.sharers.store(processes.max(1), Ordering::Relaxed);
    }

    /// Counts what limits in shadow have seen and nobody has counted yet. For an orderly end; may be repeated.
    pub async fn settle(&self) {
        let lanes: Vec<Arc<Lane>> =
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            lane.count_shadow().await;
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
            Arc::new(Lane::new(platform, endpoint, limit, Arc::clone(&self.source), Arc::clone(&self.sharers)))
        });
        Arc::clone(lane)
    }
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pace").field("config", &self.config).finish_non_exhaustive()
    }
}
