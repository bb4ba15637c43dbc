//! What a process says about itself, and the tidying that any live process does.

use super::App;
use crate::store::identity::Identity;

impl App {
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
        match self.store.retire(self.config.keep).await {
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
