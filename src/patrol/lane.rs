//! A lane carries one check from its claims to its calls: claims in batches as long as there is room, sees to tokens,
//! asks the limit, then takes a slot.
//!
//! A blocked endpoint or merchant holds no slot and delays no other lane.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::task::TaskTracker;

use super::{
    Inner, PatrolSettings,
    board::{Board, Scope, Wanted},
    callers::{Job, Jobs},
    step,
};
use crate::{
    domain::{CheckName, Endpoint, Outcome, Settled, ports::StoredToken},
    store::claim::{Claim, ClaimWish},
    wechat::MARGIN_MAX,
};

/// A token that is good for longer than this needs no look; any other is seen to before the claim is paced, so that no
/// refresh happens while a slot is held.
const LIVE: Duration = Duration::from_secs(MARGIN_MAX.as_secs() + 30);
/// Claims under way in one lane at most, when no limit says less.
const WINDOW_MAX: usize = 2_000;
/// A probe that said nothing (a connection that broke, a token that cools down) is followed by another after this.
const PROBE_AGAIN: Duration = Duration::from_secs(3);
/// A dry lane looks again after this, should nobody wake it.
const DRY: Duration = Duration::from_secs(2);

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

fn live(token: Option<&StoredToken>) -> bool {
    token.is_some_and(|token| token.good_for > LIVE)
}

/// Runs one lane until the engine stops.
pub(super) async fn run(
    inner: Arc<Inner>,
    index: usize,
    board: watch::Receiver<Board>,
    settled: mpsc::Sender<Settled>,
    jobs: Jobs,
) {
    let check = inner.checks[index].name();
    let window = window(&inner.settings, check.endpoint(), inner.store.lease());
    let (ready, ways) = mpsc::channel::<Way>(window);
    let tasks = TaskTracker::new();
    let dispatcher = tokio::spawn(dispatch(Arc::clone(&inner), index, ways, settled.clone(), jobs));
    claim(&inner, check, window, board, &ready, &settled, &tasks).await;
    drop(ready);
    tasks.close();
    tasks.wait().await;
    if let Err(error) = dispatcher.await {
        tracing::error!(%error, check.name = check.name(), "the lane ended in a bug; its claims come due again");
    }
}

async fn claim(
    inner: &Arc<Inner>,
    check: CheckName,
    window: usize,
    mut board: watch::Receiver<Board>,
    ready: &mpsc::Sender<Way>,
    settled: &mpsc::Sender<Settled>,
    tasks: &TaskTracker,
) {
    let room = Arc::new(Semaphore::new(window));
    let mut suspects = Suspects { alone: Arc::new(Semaphore::new(1)), look_at: Instant::now() };
    loop {
        let wanted = board.borrow_and_update().wanted.get(&check).cloned();
        let Some(wanted) = wanted.filter(|_| !inner.halted()) else {
            tokio::select! {
                () = inner.stop.cancelled() => return,
                changed = board.changed() => if changed.is_err() { return },
            }
            continue;
        };
        if let Some(opens_at) = inner.closed.opens_at(check.endpoint()) {
            tokio::select! {
                () = inner.stop.cancelled() => return,
                changed = board.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(opens_at.into()) => {}
            }
            continue;
        }
        // Half a window at a time, so that statements stay few.
        let batch = if wanted.probe { 1 } else { window.div_ceil(2) };
        let Some(permits) = take_room(inner, &room, batch).await else { return };
        let claimed = claim_batch(inner, check, &wanted, batch, false).await;
        let dry = claimed.len() < batch;
        let ways = ways(claimed, permits, None);
        deliver(inner, ways, ready, settled, tasks).await;
        if dry && !wanted.probe {
            let suspect = suspects.next(inner, check, &wanted, &room).await;
            deliver(inner, suspect, ready, settled, tasks).await;
        }
        if dry {
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = inner.recorded.notified() => {}
                changed = board.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(DRY) => {}
            }
        }
        if wanted.probe {
            // One try; the board says what follows from it.
            tokio::select! {
                () = inner.stop.cancelled() => return,
                changed = board.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PROBE_AGAIN) => {}
            }
        }
    }
}

async fn take_room(inner: &Inner, room: &Arc<Semaphore>, batch: usize) -> Option<OwnedSemaphorePermit> {
    let batch = u32::try_from(batch).unwrap_or(u32::MAX);
    tokio::select! {
        () = inner.stop.cancelled() => None,
        permits = Arc::clone(room).acquire_many_owned(batch) => permits.ok(),
    }
}

async fn claim_batch(inner: &Inner, check: CheckName, wanted: &Wanted, batch: usize, suspects: bool) -> Vec<Claim> {
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
        suspects,
        merchant_interval: inner.merchant_interval(check.endpoint()),
    };
    inner.progress.book_under(wanted.run);
    match inner.store.claim(wish).await {
        Ok(claims) => {
            if !claims.is_empty() {
                inner.leases.watch(&claims);
                inner.progress.claimed(check, claims.len() as u64);
                let claimed = claims.len() as u64;
                metrics::counter!("wxpatrol_claims_total", "platform" => inner.label.clone(), "check" => check.name())
                    .increment(claimed);
            }
            claims
        }
        Err(error) => {
            tracing::warn!(check.name = check.name(), %error, "claiming waits for Postgres");
            Vec::new()
        }
    }
}

fn ways(claims: Vec<Claim>, mut room: OwnedSemaphorePermit, alone: Option<OwnedSemaphorePermit>) -> Vec<Way> {
    let mut alone = alone;
    claims.into_iter().map_while(|claim| Some(Way { claim, _room: room.split(1)?, _alone: alone.take() })).collect()
}

/// Items that lost their process on two claims in a row. Whoever kills its process is found out by going alone; the others
/// are cleared by their first record.
struct Suspects {
    alone: Arc<Semaphore>,
    look_at: Instant,
}

impl Suspects {
    /// The next suspect of the check, when the last one is through. Looked for when little else is due.
    async fn next(&mut self, inner: &Inner, check: CheckName, wanted: &Wanted, room: &Arc<Semaphore>) -> Vec<Way> {
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
        let claimed = claim_batch(inner, check, wanted, 1, true).await;
        match claimed.first() {
            Some(claim) => {
                tracing::warn!(
                    check.name = check.name(),
                    merchant.id = claim.key.appid,
                    "lost its process twice: goes alone"
                );
            }
            None => self.look_at = Instant::now() + DRY,
        }
        ways(claimed, room, Some(alone))
    }
}

/// Sends claims on: those with a live token at once, the others when theirs is refreshed.
async fn deliver(
    inner: &Arc<Inner>,
    ways: Vec<Way>,
    ready: &mpsc::Sender<Way>,
    settled: &mpsc::Sender<Settled>,
    tasks: &TaskTracker,
) {
    let mut waiting = Vec::new();
    for way in ways {
        if live(way.claim.token.as_ref()) {
            if ready.send(way).await.is_err() {
                return;
            }
        } else {
            waiting.push(way);
        }
    }
    for way in waiting {
        let refresh = tokio::select! {
            () = inner.stop.cancelled() => None,
            refresh = Arc::clone(&inner.refreshes).acquire_owned() => refresh.ok(),
        };
        let Some(refresh) = refresh else {
            hand_back(inner, &way.claim, settled, Outcome::Back).await;
            continue;
        };
        let (inner, ready, settled) = (Arc::clone(inner), ready.clone(), settled.clone());
        tasks.spawn(async move {
            let way = freshen(&inner, way, &settled).await;
            drop(refresh);
            if let Some(way) = way
                && let Err(lost) = ready.send(way).await
            {
                hand_back(&inner, &lost.0.claim, &settled, Outcome::Back).await;
            }
        });
    }
}

/// Sees to a merchant's token. `None`: there is none, and the claim is settled.
async fn freshen(inner: &Arc<Inner>, mut way: Way, settled: &mpsc::Sender<Settled>) -> Option<Way> {
    if inner.halted() || Instant::now() + inner.step_max() > way.claim.lease.until() {
        hand_back(inner, &way.claim, settled, Outcome::Back).await;
        return None;
    }
    let began = Instant::now();
    match inner.wire.tokens().fresh(&inner.platform, &way.claim.key.appid, way.claim.token.take()).await {
        Ok(token) => {
            way.claim.token = Some(token);
            way.claim.claimed_at = Instant::now();
            Some(way)
        }
        Err(error) => {
            let outcome = step::failed(inner, &way.claim, &error, began.elapsed(), None).await;
            settled.send(outcome).await.ok();
            None
        }
    }
}

async fn hand_back(inner: &Inner, claim: &Claim, settled: &mpsc::Sender<Settled>, outcome: Outcome) {
    let back = Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome,
        call: None,
        finding: None,
        intent: None,
        free_at: None,
    };
    if settled.send(back).await.is_err() {
        inner.progress.over(1);
    }
}

async fn dispatch(
    inner: Arc<Inner>,
    index: usize,
    mut ways: mpsc::Receiver<Way>,
    settled: mpsc::Sender<Settled>,
    jobs: Jobs,
) {
    let endpoint = inner.checks[index].name().endpoint();
    while let Some(way) = ways.recv().await {
        let Some(slot) = admit(&inner, endpoint, &way, ways.len(), &settled).await else { continue };
        if let Err(lost) = jobs.send(Job { check: index, way, slot }).await {
            hand_back(&inner, &lost.0.way.claim, &settled, Outcome::Back).await;
        }
    }
}

/// Waits for the limit, then for a slot. `None`: the claim went back. So many claims follow.
async fn admit(
    inner: &Arc<Inner>,
    endpoint: Endpoint,
    way: &Way,
    following: usize,
    settled: &mpsc::Sender<Settled>,
) -> Option<OwnedSemaphorePermit> {
    loop {
        if inner.stop.is_cancelled() || inner.halted() {
            hand_back(inner, &way.claim, settled, Outcome::Back).await;
            return None;
        }
        let permit = tokio::select! {
            () = inner.stop.cancelled() => continue,
            permit = inner.wire.pace().permit_before(inner.platform.id, endpoint, following) => permit,
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(closed) => {
                inner.closed.note(endpoint, closed.wait);
                inner.progress.waits_for(Some(format!(
                    "{} is closed for {} s",
                    endpoint.name(),
                    closed.wait.as_secs()
                )));
                let due_at = inner.now() + chrono::TimeDelta::from_std(closed.wait).unwrap_or_default();
                let wait = Outcome::Again { due_at, reason: "endpoint_closed".to_owned(), attempt: false };
                hand_back(inner, &way.claim, settled, wait).await;
                return None;
            }
        };
        // The lease must outlast the call; what does not fit is claimed afresh.
        if Instant::now() + inner.step_max() > way.claim.lease.until() {
            hand_back(inner, &way.claim, settled, Outcome::Back).await;
            return None;
        }
        let slot = tokio::select! {
            () = inner.stop.cancelled() => continue,
            slot = Arc::clone(&inner.slots).acquire_owned() => slot.ok()?,
        };
        if permit.still_good() {
            way.claim.lease.call_begins();
            return Some(slot);
        }
    }
}
