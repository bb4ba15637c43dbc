//! Tells a process that can not work from one that need not: work has been due and free for minutes, nothing forbids it,
//! and yet nothing is claimed or recorded. Such a process ends itself, so that whoever runs it starts a fresh one.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Inner, board::Board};
use crate::{domain::Limit, store::StoreError};

/// The engine makes no progress, and nothing that it could wait for explains it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StuckWatch {
    /// By Postgres's clock, as the due times are.
    quiet_since: Option<DateTime<Utc>>,
    seen: u64,
}

impl StuckWatch {
    /// Looks at the counters. `Some`: stuck, for so long. Paused, limited, halted or without work is not stuck; nobody
    /// asks this while Postgres is away.
    pub(super) async fn look(&mut self, inner: &Inner, board: &Board) -> Result<Option<Duration>, StoreError> {
        let seen = inner.progress.moves();
        let open: Vec<_> = board
            .wanted
            .iter()
            .filter(|(check, wanted)| !wanted.probe && inner.closed.opens_at(check.endpoint()).is_none())
            .map(|(check, _)| *check)
            .collect();
        if seen != self.seen || open.is_empty() || inner.halted() {
            *self = Self { quiet_since: None, seen };
            return Ok(None);
        }
        let now = inner.store.read_clock().await?;
        let quiet = (now - *self.quiet_since.get_or_insert(now)).to_std().unwrap_or_default();
        if quiet < patience(inner) {
            return Ok(None);
        }
        if inner.progress.under_way() > 0
            || inner.store.claimable(inner.platform.id, &open, inner.settings.stuck_after).await?
        {
            return Ok(Some(quiet));
        }
        *self = Self { quiet_since: None, seen };
        Ok(None)
    }
}

/// Claims under way may rightly wait for a slow limit: four of its slots, and a lease.
fn patience(inner: &Inner) -> Duration {
    if inner.progress.under_way() == 0 {
        return inner.settings.stuck_after;
    }
    let slowest = inner.settings.limits.values().filter_map(Limit::interval).max().unwrap_or_default();
    inner.settings.stuck_after + 4 * slowest + inner.store.lease()
}
