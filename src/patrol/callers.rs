//! The callers: as many tasks as there may be calls in flight, shared by every lane. Each takes one claim's step at a time.
//!
//! They live as long as the engine: a task for each call would put the whole state of an HTTP call into memory anew.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc};

use futures_util::FutureExt as _;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc};
use tokio_util::task::TaskTracker;

use super::{Inner, claims::Way, step};
use crate::{domain::Settled, wechat::Permit};

/// A claim that may be called for now.
pub(super) struct Job {
    /// Which check, by its place in the engine's list.
    pub check: usize,
    /// The claim.
    pub way: Way,
    /// The permit of a message, used when it is written down.
    pub permit: Option<Permit>,
    /// Its slot: held until the outcome is handed on.
    pub slot: OwnedSemaphorePermit,
}

/// Where lanes hand their jobs in. There is a caller for each slot, so that no job waits for one.
pub(super) type Jobs = mpsc::Sender<Job>;

/// Starts the callers. They end when every lane has dropped its end, and the jobs handed in by then are done.
pub(super) fn start(inner: &Arc<Inner>, settled: &mpsc::Sender<Settled>, tasks: &TaskTracker) -> Jobs {
    let callers = inner.settings.calls_max.max(1);
    let (jobs, waiting) = mpsc::channel(callers);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..callers {
        tasks.spawn(call(Arc::clone(inner), Arc::clone(&waiting), settled.clone()));
    }
    jobs
}

async fn call(inner: Arc<Inner>, waiting: Arc<Mutex<mpsc::Receiver<Job>>>, settled: mpsc::Sender<Settled>) {
    loop {
        let job = waiting.lock().await.recv().await;
        let Some(Job { check, mut way, permit, slot }) = job else { return };
        let outcome = {
            let token = way.claim.token.take();
            // Pinned where it stands: a step is kilobytes that nobody needs to move.
            let step = pin!(step::take(&inner, check, &way.claim, token, permit));
            // A bug that one merchant's answer brings out must not take a caller with it.
            AssertUnwindSafe(step).catch_unwind().await
        };
        let outcome = outcome.unwrap_or_else(|_| step::broken(&inner, &way.claim));
        if settled.send(outcome).await.is_err() {
            inner.progress.over(way.claim.key.check);
        }
        drop(slot);
        drop(way);
    }
}
