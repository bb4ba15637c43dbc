//! Lost refresh tokens: WeChat's authorizer list names them all, so one pass serves every merchant that lost its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{Inner, sync::Sync};

/// One pass serves all that were lost within this.
const EVERY: Duration = Duration::from_secs(600);

/// The claims that met the loss are recorded first: planning wakes what it finds recorded as lost.
const RECORDED_BY_THEN: Duration = Duration::from_secs(2);

/// Whether a pass is wanted, or under way.
#[derive(Default)]
pub(super) struct Recovery {
    wanted: Notify,
    under_way: AtomicBool,
}

impl Recovery {
    /// A merchant's refresh token was refused.
    pub(super) fn want(&self) {
        self.under_way.store(true, Ordering::SeqCst);
        self.wanted.notify_one();
    }

    /// Whether a run must wait: merchants may come due when the pass is over.
    pub(super) fn under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst)
    }
}

/// Waits for lost tokens and recovers them, until the engine stops.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut last: Option<Instant> = None;
    loop {
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = inner.recovery.wanted.notified() => {}
        }
        if last.is_none_or(|last| last.elapsed() >= EVERY) {
            last = Some(Instant::now());
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = tokio::time::sleep(RECORDED_BY_THEN) => {}
            }
            recover(&inner).await;
        }
        inner.recovery.under_way.store(false, Ordering::SeqCst);
        inner.look.notify_one();
    }
}

async fn recover(inner: &Inner) {
    let sync = Sync {
        store: inner.store.clone(),
        wire: inner.wire.clone(),
        platform: inner.platform.clone(),
        stop: inner.stop.clone(),
    };
    tracing::info!("a refresh token was refused; reading the authorizer list for newer ones");
    match sync.list().await {
        Ok(synced) => tracing::info!(listed = synced.listed, "the authorizer list was read"),
        Err(error) => tracing::warn!(%error, "lost refresh tokens could not be recovered; the next sync tries again"),
    }
    // Merchants with a newer refresh token come due.
    if let Err(error) = inner.store.plan(inner.context(None), inner.settings.hold_new).await {
        tracing::warn!(%error, "planning waits for Postgres");
    }
}
