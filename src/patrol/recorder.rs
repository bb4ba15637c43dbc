//! Records settled claims in batches: full ones at once, others after a moment, and all when nothing is under way.
//!
//! Several recorders take turns at gathering, so that the next batch is gathered, and its calls go on, while Postgres
//! writes the last one. Records of one process stand to each other as those of several processes do: fenced, and with
//! locks in one order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};

use super::Inner;
use crate::{
    domain::{CheckName, Outcome, Settled, check::DAILY, outcome::CallRecord},
    store::StoreError,
};

/// Claims in one record at most.
pub(super) const BATCH_MAX: usize = 1_000;
/// How long a settled claim waits for company.
const LINGER: Duration = Duration::from_millis(400);
/// Batches that are gathered or written at a time. More of them would only wait for each other in Postgres.
const RECORDERS: usize = 2;

/// The settled claims that the recorders share.
struct Settlements {
    incoming: Mutex<mpsc::Receiver<Settled>>,
    /// Claims in batches that are being written.
    in_writing: AtomicU64,
}

/// Records until every sender is gone.
pub(super) async fn run(inner: Arc<Inner>, settlements: mpsc::Receiver<Settled>) {
    let shared = Arc::new(Settlements { incoming: Mutex::new(settlements), in_writing: AtomicU64::new(0) });
    let recorders: Vec<_> =
        (0..RECORDERS).map(|_| tokio::spawn(take_turns(Arc::clone(&inner), Arc::clone(&shared)))).collect();
    for recorder in recorders {
        if let Err(error) = recorder.await {
            tracing::error!(%error, "a recorder ended in a bug; what it had not recorded comes due again by itself");
        }
    }
}

async fn take_turns(inner: Arc<Inner>, shared: Arc<Settlements>) {
    while let Some(batch) = gather(&inner, &shared).await {
        let checks: Vec<CheckName> = batch.iter().map(|settled| settled.key.check).collect();
        record(&inner, batch).await;
        // In this order: whoever looks in between sends a batch off early, and never waits for company in vain.
        checks.iter().for_each(|check| inner.progress.over(*check));
        shared.in_writing.fetch_sub(checks.len() as u64, Ordering::SeqCst);
        inner.recorded.notify_waiters();
        if inner.progress.under_way() == 0 {
            inner.look.notify_one();
        }
    }
}

/// The next batch, counted as in writing. `None`: every sender is gone.
async fn gather(inner: &Inner, shared: &Settlements) -> Option<Vec<Settled>> {
    let mut incoming = shared.incoming.lock().await;
    let mut batch = Vec::with_capacity(BATCH_MAX);
    batch.push(incoming.recv().await?);
    let deadline = Instant::now() + LINGER;
    while batch.len() < BATCH_MAX {
        let gathered = batch.len() as u64 + shared.in_writing.load(Ordering::SeqCst);
        // Nothing else is on its way: there is no company to wait for.
        if inner.progress.under_way() <= gathered {
            break;
        }
        match tokio::time::timeout_at(deadline, incoming.recv()).await {
            Ok(Some(settled)) => batch.push(settled),
            Ok(None) | Err(_) => break,
        }
    }
    shared.in_writing.fetch_add(batch.len() as u64, Ordering::SeqCst);
    Some(batch)
}

/// Records a batch, whatever it takes: halves it when Postgres refuses some row, waits while Postgres is away.
async fn record(inner: &Inner, batch: Vec<Settled>) {
    let mut parts = vec![batch];
    let began = Instant::now();
    let mut said = false;
    while let Some(mut part) = parts.pop() {
        match inner.store.record(inner.context(inner.progress.run()), &part).await {
            Ok(recorded) => {
                for (settled, written) in part.iter().zip(recorded.written) {
                    inner.progress.recorded(settled.key.check, written);
                    count(inner, settled, written);
                    if !written {
                        tracing::debug!(
                            merchant.id = settled.key.appid,
                            check.name = settled.key.check.name(),
                            "the lease was lost; nothing was recorded"
                        );
                    }
                }
            }
            Err(StoreError::Data(error)) if part.len() > 1 => {
                tracing::debug!(%error, claims = part.len(), "a row can not be stored; halving the batch");
                let half = part.split_off(part.len() / 2);
                parts.push(half);
                parts.push(part);
            }
            Err(StoreError::Data(error)) => {
                let Some(settled) = part.pop() else { continue };
                tracing::warn!(merchant.id = settled.key.appid, check.name = settled.key.check.name(), %error, "unstorable");
                if settled.finding.is_some() {
                    parts.push(vec![unstorable(inner, settled)]);
                }
            }
            Err(StoreError::Collision(error)) => {
                tracing::debug!(%error, "recording again");
                parts.push(part);
            }
            Err(error) => {
                // The leases end; what could not be recorded by then comes due again by itself.
                if began.elapsed() > inner.store.lease() {
                    tracing::error!(%error, claims = part.len(), "results are lost; their items come due again");
                    continue;
                }
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, claims = part.len(), "recording waits for Postgres");
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
                parts.push(part);
            }
        }
    }
}

/// The claim without what Postgres refuses.
fn unstorable(inner: &Inner, settled: Settled) -> Settled {
    let due_at = inner.now() + chrono::TimeDelta::from_std(DAILY).unwrap_or_default();
    let said = |_| "what WeChat said can not be stored".to_owned();
    // An invitation whose pair does not hear of it stays unknown, and is settled with the next claim.
    let intent = settled.intent.filter(|_| settled.key.check != CheckName::Invite);
    Settled {
        finding: None,
        intent,
        outcome: Outcome::Failed { due_at, reason: "unstorable".to_owned() },
        call: settled.call.map(|call| CallRecord { rid: None, detail: call.detail.map(said), ..call }),
        ..settled
    }
}

fn count(inner: &Inner, settled: &Settled, written: bool) {
    let outcome = if written { settled.outcome.name().unwrap_or("back") } else { "lease_lost" };
    let (platform, check) = (inner.label.clone(), settled.key.check.name());
    metrics::counter!("wxpatrol_items_total", "platform" => platform, "check" => check, "outcome" => outcome)
        .increment(1);
}
