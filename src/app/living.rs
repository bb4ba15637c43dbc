//! What a process says about itself, and the tidying that any live process does.

use chrono::{TimeDelta, Utc};

use super::App;
use crate::{patrol::Patrol, store::identity::Identity};

/// Clocks that are further apart than this are worth a warning; only Postgres's clock decides, so nothing breaks.
const SKEW_MAX_MS: i64 = 5_000;

impl App {
    /// Says that this process lives.
    pub(super) async fn beat(&self, patrol: &Patrol) {
        let claimed_at = patrol
            .progress()
            .last_claim()
            .map(|at| self.store.now() - TimeDelta::from_std(at.elapsed()).unwrap_or_default());
        match self.store.beat(claimed_at).await {
            Ok(skew) if skew.abs() > SKEW_MAX_MS => {
                tracing::warn!(skew_ms = skew, now = %Utc::now(), "this machine's clock differs from Postgres's");
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the beat was missed"),
        }
    }

    /// Says that this process leaves.
    pub(super) async fn leave(&self) {
        if let Err(error) = self.store.leave().await {
            tracing::debug!(%error, "this process leaves without a word");
        }
    }

    /// Deletes what is older than its retention, in bounded batches.
    pub(super) async fn tidy(&self) {
        if let Err(error) = self.store.prune().await {
            tracing::debug!(%error, "dead processes were not pruned");
        }
        match self.store.retire().await {
            Ok(retired) => tracing::debug!(?retired, "old rows are gone"),
            Err(error) => tracing::warn!(%error, "old rows could not be deleted; the next hour tries again"),
        }
    }

    /// After a restore or a fail-over the intents may be older than what was sent: messages wait for an operator.
    pub(super) async fn mind_the_identity(&self) {
        match self.store.compare_identity().await {
            Ok(Identity::Changed) => tracing::error!(
                "the database was restored or failed over: ask and invite are held until `wxpatrol resume --check ask --check invite`"
            ),
            Ok(Identity::First | Identity::Same | Identity::Unreadable) => {}
            Err(error) => tracing::warn!(%error, "the database's identity could not be compared"),
        }
    }
}
