//! A lane carries one check from its claims to its calls: claims in batches as long as there is room, sees to tokens,
//! asks the limit, then takes a slot.
//!
//! A blocked endpoint or merchant holds no slot and delays no other lane.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::task::TaskTracker;

use super::{
    Inner,
    board::{Board, Scope, Wanted},
    callers::{Job, Jobs},
    claims::{Cursor, Suspects, Way, Whom, claim_batch, take_room, ways, window},
    halt::Stand,
    step,
};
use crate::{
    domain::{CheckName, Endpoint, Outcome, Settled, ports::StoredToken},
    store::claim::{Claim, QueuePlace},
    wechat::{MARGIN_MAX, Permit},
};

/// A token that is good for longer than this needs no look; any other is seen to before the claim is paced, so that no
/// refresh happens while a slot is held.
const LIVE: Duration = Duration::from_secs(MARGIN_MAX.as_secs() + 30);
/// A probe that said nothing (a connection that broke, a token that cools down) is followed by another after this.
const PROBE_AGAIN: Duration = Duration::from_secs(3);
/// A closed endpoint is asked about again after this: what closed it may be another number now.
const CLOSED_AGAIN: Duration = Duration::from_secs(60);
/// A check whose endpoint is closed for longer is not wanted, as `checks_shut.sql` has it.
const SHUT_FOR: Duration = Duration::from_secs(120);
/// A message is written down so long before its call, so that calls are spaced as their slots are, though flushes take now five
/// milliseconds and now fifty. What a killed process wrote and did not send counts as sent: no longer than needed.
const WRITTEN_AHEAD: Duration = Duration::from_millis(150);
/// Where so many calls may be in flight, a lane may keep the place of one of them while it waits for its slow limit,
const KEEPS_FROM: usize = 16;
/// and else for no longer than this.
const KEPT_MAX: Duration = Duration::from_millis(250);
/// A dry lane looks again after this, should nobody wake it.
const DRY: Duration = Duration::from_secs(2);

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
    let mut suspects = Suspects::of(check);
    claim(&inner, window, board, &ready, &settled, &tasks, &mut suspects).await;
    drop(ready);
    suspects.end(&inner).await;
    tasks.close();
    tasks.wait().await;
    if let Err(error) = dispatcher.await {
        tracing::error!(%error, check.name = check.name(), "the lane ended in a bug; its claims come due again");
    }
}

async fn claim(
    inner: &Arc<Inner>,
    window: usize,
    mut board: watch::Receiver<Board>,
    ready: &mpsc::Sender<Way>,
    settled: &mpsc::Sender<Settled>,
    tasks: &TaskTracker,
    suspects: &mut Suspects,
) {
    let check = suspects.check;
    let room = Arc::new(Semaphore::new(window));
    let mut cursor = Cursor::at_the_start();
    let mut stands = inner.halt.stands();
    loop {
        let wanted = board.borrow_and_update().wanted.get(&check).cloned();
        let stops = *stands.borrow_and_update() == Stand::Stops;
        let Some(wanted) = wanted.filter(|_| !stops) else {
            tokio::select! {
                () = inner.stop.cancelled() => return,
                changed = board.changed() => if changed.is_err() { return },
                // The board that follows may say just what this one says.
                changed = stands.changed() => if changed.is_err() { return },
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
        let alone = wanted.probe || inner.dead.on_trial();
        let batch = if alone { 1 } else { window.div_ceil(2) };
        let Some(permits) = take_room(inner, &room, batch).await else { return };
        let mut behind = if wanted.probe { probe_place(inner, check, &wanted).await } else { cursor.behind() };
        let began = Instant::now();
        let mut claimed = claim_batch(inner, check, &wanted, batch, Whom::Others { behind: behind.as_ref() }).await;
        if wanted.probe && claimed.claims.is_empty() && behind.take().is_some() {
            claimed = claim_batch(inner, check, &wanted, batch, Whom::Others { behind: None }).await;
        }
        if behind.is_none() {
            cursor.began(began.elapsed());
        }
        let short = claimed.claims.len() < batch;
        let dry = short && behind.is_none();
        cursor.came_to(claimed.last.filter(|_| !short));
        let ways = ways(claimed.claims, permits, None);
        deliver(inner, ways, ready, settled, tasks).await;
        if dry {
            // Where one goes alone, it may be a suspect as well as any: when nothing else is due, nobody else can be tried.
            let company = if alone { 1 } else { window };
            let group = suspects.next(inner, &wanted, &room, company).await;
            deliver(inner, group, ready, settled, tasks).await;
        }
        if dry {
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = inner.recorded.notified() => {}
                () = suspects.called() => {}
                changed = board.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(DRY) => {}
            }
        }
        if alone {
            // One try; its record, or the board, says what follows from it.
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = inner.recorded.notified(), if !wanted.probe => {}
                changed = board.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PROBE_AGAIN) => {}
            }
        }
    }
}

/// Where a probe begins; `None`: with the first, also when Postgres does not answer. Only claims over all merchants know of places.
async fn probe_place(inner: &Inner, check: CheckName, wanted: &Wanted) -> Option<QueuePlace> {
    if check.gate().is_some() || wanted.scope != Scope::All {
        return None;
    }
    inner.store.probe_place(inner.platform.id, check).await.unwrap_or_default()
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
    let unwanted = inner.unwanted.covers(way.claim.key.check);
    if inner.halted() || unwanted || Instant::now() + inner.step_max() > way.claim.lease.until() {
        hand_back(inner, &way.claim, settled, Outcome::Back).await;
        return None;
    }
    let (began_at, began) = (inner.store.now_at_least(), Instant::now());
    // Whoever stops waits for no token: a refresh that is under way goes on by itself, and may wait for Postgres.
    let fresh = tokio::select! {
        () = inner.stop.cancelled() => None,
        fresh = inner.wire.tokens().fresh(&inner.platform, &way.claim.key.appid, way.claim.token.take()) => Some(fresh),
    };
    let Some(fresh) = fresh else {
        hand_back(inner, &way.claim, settled, Outcome::Back).await;
        return None;
    };
    match fresh {
        Ok(token) => {
            way.claim.token = Some(token);
            way.claim.claimed_at = Instant::now();
            Some(way)
        }
        Err(error) => {
            let asked = step::Asked { at: began_at, latency: began.elapsed() };
            let outcome = step::failed(inner, &way.claim, &error, asked, None).await;
            settled.send(outcome).await.ok();
            None
        }
    }
}

async fn hand_back(inner: &Inner, claim: &Claim, settled: &mpsc::Sender<Settled>, outcome: Outcome) {
    let back = step::uncalled(claim, outcome);
    if settled.send(back).await.is_err() {
        inner.progress.over(claim.key.check);
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
        let Some((permit, slot)) = admit(&inner, endpoint, &way, ways.len(), &settled).await else { continue };
        if let Err(lost) = jobs.send(Job { check: index, way, permit, slot }).await {
            hand_back(&inner, &lost.0.way.claim, &settled, Outcome::Back).await;
        }
    }
}

/// Waits for the limit, then for a slot. `None`: the claim went back. So many claims follow. The permit of a message comes
/// ahead of its time and along, not used yet; one that is going to be refused needs none.
async fn admit(
    inner: &Arc<Inner>,
    endpoint: Endpoint,
    way: &Way,
    following: usize,
    settled: &mpsc::Sender<Settled>,
) -> Option<(Option<Permit>, OwnedSemaphorePermit)> {
    let messages = way.claim.key.check.messages_people();
    let ahead = if messages { WRITTEN_AHEAD } else { Duration::ZERO };
    let mut refused = inner.purpose(way.claim.key.check).map(|(_, intents)| intents.refused());
    let mut kept = None;
    loop {
        let changed = std::pin::pin!(inner.unwanted.changed.notified());
        if inner.stop.is_cancelled() || inner.halted() || inner.unwanted.covers(way.claim.key.check) {
            hand_back(inner, &way.claim, settled, Outcome::Back).await;
            return None;
        }
        let refused_until = refused.as_mut().and_then(|until| *until.borrow_and_update());
        let permit = if refused_until.is_some_and(|until| inner.now() < until) {
            Ok(None)
        } else {
            tokio::select! {
                () = inner.stop.cancelled() => continue,
                () = changed => continue,
                () = told(&mut refused) => continue,
                permit = inner.wire.pace().permit_ahead(inner.platform.id, endpoint, following, ahead) => permit.map(Some),
            }
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(closed) => {
                inner.closed.note(endpoint, closed.wait.min(CLOSED_AGAIN));
                inner.progress.waits_for(format!("{} is closed", endpoint.name()), closed.wait);
                // A closure that outlasts the run's patience keeps the check from being claimed at all, and an operator may end it
                // before its time: what was claimed waits with the others, as due as it was.
                let outcome = if closed.wait > SHUT_FOR {
                    Outcome::Back
                } else {
                    let due_at = inner.now() + chrono::TimeDelta::from_std(closed.wait).unwrap_or_default();
                    Outcome::Again { due_at, reason: "endpoint_closed".to_owned(), attempt: false }
                };
                hand_back(inner, &way.claim, settled, outcome).await;
                return None;
            }
        };
        // The lease must outlast the call; what does not fit is claimed afresh.
        if Instant::now() + inner.step_max() > way.claim.lease.until() {
            hand_back(inner, &way.claim, settled, Outcome::Back).await;
            return None;
        }
        let slot = match kept.take() {
            Some(slot) => slot,
            None => tokio::select! {
                () = inner.stop.cancelled() => continue,
                slot = Arc::clone(&inner.slots).acquire_owned() => slot.ok()?,
            },
        };
        // A message is written down first, and uses its permit after that.
        if messages || permit.as_ref().is_some_and(Permit::still_good) {
            way.claim.lease.call_begins();
            return Some((permit.filter(|_| messages), slot));
        }
        // While calls are full a slow lane's permits would be late again and again, behind those of a fast one.
        kept = Some(slot).filter(|_| may_keep(inner, endpoint));
    }
}

/// Whether a lane may keep its place among the calls in flight until its next permit: one of many, or not for long.
fn may_keep(inner: &Inner, endpoint: Endpoint) -> bool {
    inner.settings.calls_max >= KEEPS_FROM || inner.platform_interval(endpoint) <= KEPT_MAX
}

/// Ends when it is told anew until when messages are refused; never for what messages nobody.
async fn told(refused: &mut Option<watch::Receiver<Option<DateTime<Utc>>>>) {
    if let Some(refused) = refused
        && refused.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
