//! Tells a process that can not work from one that need not: work has been due and free for minutes, nothing forbids it,
//! and yet nothing is claimed or recorded. Such a process ends itself, so that whoever runs it starts a fresh one.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    Inner,
    board::{Board, Scope},
};
use crate::{domain::Endpoint, store::StoreError};

/// No more than one part of so many of the patience counts from one look to the next: a process that slept for an hour, or
/// whose Postgres set its clock, has not looked on for that hour.
const LOOKS_MIN: u32 = 3;

/// The engine makes no progress, and nothing that it could wait for explains it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StuckWatch {
    /// By Postgres's clock, as the due times are; `None`: nothing was quiet then.
    looked_at: Option<DateTime<Utc>>,
    quiet: Duration,
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
            // What is due of others is not the business of a run over a few merchants.
            .filter(|(_, wanted)| !wanted.probe && matches!(wanted.scope, Scope::All))
            .filter(|(check, _)| inner.closed.opens_at(check.endpoint()).is_none())
            .map(|(check, _)| (*check, inner.merchant_interval(check.endpoint())))
            .collect();
        if seen != self.seen || open.is_empty() || inner.halted() {
            *self = Self { seen, ..Self::default() };
            return Ok(None);
        }
        let patience = patience(inner);
        if self.quiet_until(inner.store.read_clock().await?, patience / LOOKS_MIN) < patience {
            return Ok(None);
        }
        if inner.progress.under_way() > 0
            || inner.store.claimable(inner.platform.id, &open, inner.settings.stuck_after).await?
        {
            return Ok(Some(self.quiet));
        }
        *self = Self { seen, ..Self::default() };
        Ok(None)
    }

    /// For how long it has been quiet, with the time since the last look, of which no more than `step_max` counts.
    fn quiet_until(&mut self, now: DateTime<Utc>, step_max: Duration) -> Duration {
        let since = now - self.looked_at.replace(now).unwrap_or(now);
        self.quiet += since.to_std().unwrap_or_default().min(step_max);
        self.quiet
    }
}

/// Claims under way may rightly wait for a slow limit: four of its slots, and a lease.
fn patience(inner: &Inner) -> Duration {
    if inner.progress.under_way() == 0 {
        return inner.settings.stuck_after;
    }
    let slowest = Endpoint::ALL.iter().map(|endpoint| inner.platform_interval(*endpoint)).max().unwrap_or_default();
    inner.settings.stuck_after + 4 * slowest + inner.store.lease()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_clock_that_is_set_forward_or_back_makes_nothing_stuck() {
        let mut watch = StuckWatch::default();
        let mut quiet_after = |seconds| {
            watch.quiet_until(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds), Duration::from_secs(100)).as_secs()
        };
        assert_eq!([0, 2, 3600, 0, 2].map(&mut quiet_after), [0, 2, 102, 102, 104]);
    }
}
