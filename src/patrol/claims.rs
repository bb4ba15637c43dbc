//! A lane's claims: how many at a time, for how long, and from where in the queue; those that must go alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Inner, PatrolSettings,
    board::{Scope, Wanted},
};
use crate::{
    domain::{CheckName, Endpoint},
    store::claim::{Claim, ClaimWish, Claimed, QueuePlace},
};

/// Claims under way in one lane at most, when no limit says less.
const WINDOW_MAX: usize = 2_000;
/// Claims begin at the start of the queue so often, at most.
const FROM_START_EVERY: Duration = Duration::from_secs(1);
/// Suspects are looked for so often, when there are none.
const SUSPECTS_EVERY: Duration = Duration::from_secs(2);

/// A claim on its way, with its share of the lane's room.
pub(super) struct Way {
    pub claim: Claim,
    _room: OwnedSemaphorePermit,
    /// A suspect is under way alone in its lane.
    _alone: Option<OwnedSemaphorePermit>,
}

/// A limited lane claims so much time's worth of calls ahead. Enough for a claim that takes its time, and little enough that
/// the claims of a process that dies, and the queues they fall in behind, are worked off within seconds of their leases' end.
const AHEAD: Duration = Duration::from_millis(1_500);

/// How many claims of an endpoint may be under way: what its limit admits in [`AHEAD`], and never more than in a third of
/// the lease.
pub(super) fn window(settings: &PatrolSettings, endpoint: Endpoint, lease: Duration) -> usize {
    let Some(interval) = settings.limits.get(&endpoint).and_then(crate::domain::Limit::interval) else {
        return WINDOW_MAX;
    };
    let admitted = (lease / 3).min(AHEAD).as_secs_f64() / interval.as_secs_f64().max(f64::EPSILON);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is clamped to a small range"
    )]
    let admitted = admitted.clamp(1.0, WINDOW_MAX as f64) as usize;
    admitted
}

/// How long a claim on this endpoint belongs to its process: the configured lease, but never less than a few calls at
/// the limit's pace take.
fn lease(inner: &Inner, endpoint: Endpoint) -> Duration {
    let interval = inner.settings.limits.get(&endpoint).and_then(crate::domain::Limit::interval).unwrap_or_default();
    inner.store.lease().max(interval * 4)
}

/// Where the lane's claims have come to in the queue, so that the next one need not read past what was claimed before it.
pub(super) struct Cursor {
    place: Option<QueuePlace>,
    /// From then on the next claim begins at the start again: there stands what lost its process meanwhile.
    again_at: Instant,
}

impl Cursor {
    pub fn at_the_start() -> Self {
        Self { place: None, again_at: Instant::now() }
    }

    /// The place to go on behind; `None`: from the start.
    pub fn behind(&self) -> Option<QueuePlace> {
        self.place.clone().filter(|_| Instant::now() < self.again_at)
    }

    /// A claim that began at the start took so long. A twentieth of the time may go into the way to the first due item, which
    /// is long while an old transaction keeps the entries of what is no longer due.
    pub fn began(&mut self, took: Duration) {
        self.again_at = Instant::now() + (took * 20).max(FROM_START_EVERY);
    }

    /// The claims have come to this place; `None`: to the end of what is due.
    pub fn came_to(&mut self, place: Option<QueuePlace>) {
        self.place = place;
    }
}

/// Whom a claim is after.
pub(super) enum Whom<'a> {
    /// Items that lost their process twice in a row.
    Suspects,
    /// All others, behind a place of the queue.
    Others { behind: Option<&'a QueuePlace> },
}

/// Leases up to so many items for a run's scope. Nothing, when Postgres does not answer.
pub(super) async fn claim_batch(
    inner: &Inner,
    check: CheckName,
    wanted: &Wanted,
    batch: usize,
    whom: Whom<'_>,
) -> Claimed {
    let merchants = match &wanted.scope {
        Scope::All => None,
        Scope::Only(merchants) => Some(merchants.as_slice()),
    };
    let wish = ClaimWish {
        platform: inner.platform.id,
        check,
        gate: check.gate(),
        items_max: u32::try_from(batch).unwrap_or(u32::MAX),
        merchants,
        lease: lease(inner, check.endpoint()),
        suspects: matches!(whom, Whom::Suspects),
        merchant_interval: inner.merchant_interval(check.endpoint()),
    };
    inner.progress.book_under(wanted.run);
    let behind = match whom {
        Whom::Suspects => None,
        Whom::Others { behind } => behind,
    };
    match inner.store.claim_behind(wish, behind).await {
        Ok(claimed) => {
            if !claimed.claims.is_empty() {
                inner.leases.watch(&claimed.claims);
                let count = claimed.claims.len() as u64;
                inner.progress.claimed(check, count);
                metrics::counter!("wxpatrol_claims_total", "platform" => inner.label.clone(), "check" => check.name())
                    .increment(count);
            }
            claimed
        }
        Err(error) => {
            tracing::warn!(check.name = check.name(), %error, "claiming waits for Postgres");
            Claimed::default()
        }
    }
}

/// Room for so many claims. `None`: the engine stops.
pub(super) async fn take_room(inner: &Inner, room: &Arc<Semaphore>, batch: usize) -> Option<OwnedSemaphorePermit> {
    let batch = u32::try_from(batch).unwrap_or(u32::MAX);
    tokio::select! {
        () = inner.stop.cancelled() => None,
        permits = Arc::clone(room).acquire_many_owned(batch) => permits.ok(),
    }
}

/// Each claim with its share of the room; room that nobody needs is free again.
pub(super) fn ways(
    claims: Vec<Claim>,
    mut room: OwnedSemaphorePermit,
    alone: Option<OwnedSemaphorePermit>,
) -> Vec<Way> {
    let mut alone = alone;
    claims.into_iter().map_while(|claim| Some(Way { claim, _room: room.split(1)?, _alone: alone.take() })).collect()
}

/// Items that lost their process on two claims in a row. Whoever kills its process is found out by going alone; the others
/// are cleared by their first record.
pub(super) struct Suspects {
    alone: Arc<Semaphore>,
    look_at: Instant,
}

impl Suspects {
    pub fn none_yet() -> Self {
        Self { alone: Arc::new(Semaphore::new(1)), look_at: Instant::now() }
    }

    /// The next suspect of the check, when the last one is through. Looked for when little else is due.
    pub async fn next(&mut self, inner: &Inner, check: CheckName, wanted: &Wanted, room: &Arc<Semaphore>) -> Vec<Way> {
        let Ok(alone) = Arc::clone(&self.alone).try_acquire_owned() else { return Vec::new() };
        if Instant::now() < self.look_at {
            return Vec::new();
        }
        match inner.store.park(inner.platform.id, check).await {
            Ok(parked) => {
                for appid in parked {
                    tracing::error!(
                        check.name = check.name(),
                        merchant.id = appid,
                        "the process died on each of its last five claims: parked for a day"
                    );
                }
            }
            Err(error) => tracing::warn!(check.name = check.name(), %error, "parking waits for Postgres"),
        }
        let Some(room) = take_room(inner, room, 1).await else { return Vec::new() };
        let claimed = claim_batch(inner, check, wanted, 1, Whom::Suspects).await.claims;
        match claimed.first() {
            Some(claim) => {
                tracing::warn!(
                    check.name = check.name(),
                    merchant.id = claim.key.appid,
                    "lost its process twice: goes alone"
                );
            }
            None => self.look_at = Instant::now() + SUSPECTS_EVERY,
        }
        ways(claimed, room, Some(alone))
    }
}
