//! What a process says about itself, and the tidying that any live process does.

use std::{convert::Infallible, time::Duration};

use super::{App, AppError, Exit};

/// How often a process says that it lives, whatever its engines say.
const BEAT: Duration = Duration::from_secs(10);
/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(5);

impl App {
    /// Does all that this process is for, and takes it off the list of the living, however that ended.
    pub(super) async fn to_the_end(
        &self,
        work: impl Future<Output = Result<Exit, AppError>>,
    ) -> Result<Exit, AppError> {
        let ended = work.await;
        self.leave().await;
        ended
    }

    /// Does long work, with engines or without, and says meanwhile that this process lives.
    pub(super) async fn alive_while<T>(&self, work: impl Future<Output = T>) -> T {
        // The work goes on while Postgres thinks about a beat.
        tokio::select! {
            done = work => done,
            never = self.keep_beating() => match never {},
        }
    }

    async fn keep_beating(&self) -> Infallible {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            beat.tick().await;
            if let Err(error) = self.store.beat(None).await {
                tracing::debug!(%error, "the beat was missed");
            }
        }
    }

    /// Says that this process leaves.
    pub(super) async fn leave(&self) {
        // Whoever finds its row still there sees from its beats that it is dead.
        match tokio::time::timeout(LAST_WORD, self.store.leave()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "this process leaves without a word"),
            Err(_) => tracing::debug!("this process leaves without a word: Postgres is silent"),
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
        if let Err(error) = self.store.compare_identity().await {
            tracing::warn!(%error, "the database's identity could not be compared");
        }
    }
}
