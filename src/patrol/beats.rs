//! What a process says of itself while it works, whatever else it waits for: that it lives, and that its leases go on.
//!
//! Claims that wait for their call longer than expected (a slowed endpoint, a token that takes its time) stay this process's as
//! long as it lives. What dies with a process comes due one lease later.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Inner;
use crate::store::{claim::Claim, lease::Lease};

/// The leases of the claims under way. Those that are over fall out by themselves.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    leases: Vec<Weak<Lease>>,
    /// The dead are swept out when there are this many.
    sweep_at: usize,
}

/// Fewer leases than this are not worth a sweep.
const SWEEP_MIN: usize = 8_192;

impl Leases {
    /// Keeps an eye on these claims.
    pub(super) fn watch(&self, claims: &[Claim]) {
        let mut held = self.held.lock().expect("nobody panics while holding the list");
        held.leases.extend(claims.iter().map(|claim| Arc::downgrade(&claim.lease)));
        if held.leases.len() > held.sweep_at.max(SWEEP_MIN) {
            held.leases.retain(|lease| lease.strong_count() > 0);
            held.sweep_at = 2 * held.leases.len();
        }
    }

    fn waiting(&self) -> Vec<Arc<Lease>> {
        let held = self.held.lock().expect("nobody panics while holding the list");
        held.leases.iter().filter_map(Weak::upgrade).filter(|lease| lease.waits()).collect()
    }
}

/// How often a process says that it lives.
const ALIVE: Duration = Duration::from_secs(10);
/// Clocks that are further apart than this are worth a warning; only Postgres's clock decides, so nothing breaks.
const SKEW_MAX_MS: i64 = 5_000;

/// Waits for the next beat; `false`: the engine stops.
async fn next(inner: &Inner, beat: &mut Interval) -> bool {
    tokio::select! {
        () = inner.stop.cancelled() => false,
        _ = beat.tick() => true,
    }
}

fn every(period: Duration) -> Interval {
    let mut beat = interval(period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// Says that this process lives, until the engine stops.
pub(super) async fn say_alive(inner: Arc<Inner>) {
    let mut beat = every(ALIVE);
    while next(&inner, &mut beat).await {
        let claimed_at = inner
            .progress
            .last_claim()
            .map(|at| inner.now() - chrono::TimeDelta::from_std(at.elapsed()).unwrap_or_default());
        match inner.store.beat(claimed_at).await {
            Ok(skew) if skew.abs() > SKEW_MAX_MS => {
                tracing::warn!(skew_ms = skew, "this machine's clock differs from Postgres's");
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the beat was missed"),
        }
    }
}

/// Prolongs the leases of claims that wait, until the engine stops.
pub(super) async fn prolong(inner: Arc<Inner>) {
    let lease = inner.store.lease();
    let mut beat = every(lease / 3);
    while next(&inner, &mut beat).await {
        let waiting = inner.leases.waiting();
        if waiting.is_empty() {
            continue;
        }
        let wanted = waiting.len();
        match inner.store.prolong(inner.platform.id, waiting, lease).await {
            Ok(prolonged) if prolonged < wanted => {
                tracing::debug!(
                    left = wanted - prolonged,
                    prolonged,
                    "some leases were over, or their items were just being written: those go on with the next beat"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "leases could not be prolonged; those that end come due again"),
        }
    }
}
