//! The beat that prolongs leases: claims that wait for their call longer than expected (a slowed endpoint, a token that
//! takes its time) stay this process's as long as it lives. What dies with a process comes due one lease later.

use std::sync::{Arc, Mutex, Weak};

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

/// Beats until the engine stops.
pub(super) async fn run(inner: Arc<Inner>) {
    let lease = inner.store.lease();
    let mut beat = tokio::time::interval(lease / 3);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = inner.stop.cancelled() => return,
            _ = beat.tick() => {}
        }
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
