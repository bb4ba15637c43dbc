//! Lost refresh tokens: WeChat's authorizer list names them all, so one pass of one process serves every merchant that
//! lost its own, in every process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{Inner, sync::Sync};
use crate::store::{
    StoreError,
    recovery::{Elsewhere, Reading},
};

/// One pass serves all that were lost within this. Long passes stand further apart, as the store says.
const APART: Duration = Duration::from_secs(30);
/// A run waits for the next pass when it may begin within this.
const WORTH_A_WAIT: Duration = Duration::from_secs(120);
/// Who reads is believed dead after this without a word, and says one three times as often.
const LEASE: Duration = Duration::from_secs(30);
/// How often it is looked whether another process is done.
const LOOK: Duration = Duration::from_secs(1);
/// The claims that met the loss are recorded first: planning wakes what it finds recorded as lost.
const RECORDED_BY_THEN: Duration = Duration::from_secs(2);

/// Whether a pass is wanted or under way in this process.
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
}

/// Whether a run must wait, because merchants may come due: a pass is under way in some process, or there is a loss that
/// no pass has looked for since and one may begin soon; whoever met it may be dead, so this process wants it too. Nobody
/// waits for another pass after one that failed. Otherwise whoever stands as lost although his token is back comes due.
pub(super) async fn awaited(inner: &Inner) -> Result<bool, StoreError> {
    if inner.wire.tokens().are_external() {
        return Ok(false);
    }
    if inner.recovery.under_way.load(Ordering::SeqCst) {
        return Ok(true);
    }
    match inner.store.recovery_elsewhere(inner.platform.id, APART).await? {
        Elsewhere::UnderWay => return Ok(true),
        Elsewhere::Rests(Some(Duration::ZERO)) | Elsewhere::Failed(Duration::ZERO) => {
            inner.recovery.want();
            return Ok(true);
        }
        Elsewhere::Rests(Some(wait)) if wait <= WORTH_A_WAIT => {
            inner.progress.waits_for("the authorizer list is not read again".to_owned(), wait);
            wake(inner).await?;
            return Ok(true);
        }
        Elsewhere::Rests(_) | Elsewhere::Failed(_) => {}
    }
    wake(inner).await?;
    Ok(false)
}

async fn wake(inner: &Inner) -> Result<(), StoreError> {
    let woken = inner.store.wake_recovered(inner.platform.id).await?;
    if woken > 0 {
        tracing::debug!(woken, "merchants whose refresh token is back come due");
        inner.store.plan(inner.context(None), inner.settings.hold_new).await?;
    }
    Ok(())
}

/// Waits for lost tokens and recovers them, until the engine stops.
pub(super) async fn run(inner: Arc<Inner>) {
    // When the passes rest, the next one is made after that, if this process is still there.
    let mut next: Option<Instant> = None;
    loop {
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = inner.recovery.wanted.notified() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        let recovered = async {
            sleep(RECORDED_BY_THEN).await;
            recover(&inner).await
        };
        next = tokio::select! {
            () = inner.stop.cancelled() => return,
            recovered = recovered => recovered.unwrap_or_else(|error| {
                tracing::warn!(%error, "lost refresh tokens wait for Postgres");
                Some(Instant::now() + LEASE)
            }),
        };
        inner.recovery.under_way.store(false, Ordering::SeqCst);
        inner.look.notify_one();
    }
}

/// Has the list read by this process or waits for the one that does; then planning wakes whose token is back. Answers
/// when to try again for those that were lost since the last pass.
async fn recover(inner: &Inner) -> Result<Option<Instant>, StoreError> {
    let platform = inner.platform.id;
    let (reading, next) = loop {
        match inner.store.take_recovery(platform, APART, LEASE).await? {
            Ok(reading) => {
                read(inner, reading).await;
                break (Some(reading), None);
            }
            Err(Elsewhere::UnderWay) => sleep(LOOK).await,
            Err(Elsewhere::Failed(wait)) => break (None, Some(Instant::now() + wait)),
            Err(Elsewhere::Rests(wait)) => break (None, wait.map(|wait| Instant::now() + wait)),
        }
    };
    // The list tells planning as well, but of those alone that it brought back.
    inner.store.plan(inner.context(None), inner.settings.hold_new).await?;
    wake(inner).await?;
    if let Some(reading) = reading {
        inner.store.prolong_recovery(reading, None).await?;
    }
    Ok(next)
}

/// Reads the list, and says meanwhile that this process lives.
async fn read(inner: &Inner, reading: Reading) {
    let sync = Sync {
        store: inner.store.clone(),
        wire: inner.wire.clone(),
        platform: inner.platform.clone(),
        source: inner.settings.source.clone(),
        stop: inner.stop.clone(),
        // Runs wait for this reading.
        closed_max: Some(WORTH_A_WAIT),
    };
    tracing::info!("a refresh token was refused; reading the authorizer list for newer ones");
    let listed = sync.list();
    tokio::pin!(listed);
    let synced = loop {
        tokio::select! {
            synced = &mut listed => break synced,
            () = sleep(LEASE / 3) => {
                inner.store.prolong_recovery(reading, Some(LEASE)).await.ok();
            }
        }
    };
    match synced {
        Ok(synced) => tracing::info!(listed = synced.listed, "the authorizer list was read"),
        Err(error) => tracing::warn!(%error, "lost refresh tokens could not be recovered; the next sync tries again"),
    }
}
