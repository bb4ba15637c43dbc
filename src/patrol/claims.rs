//! A lane's claims: how many at a time, for how long, and from where in the queue; and in what company those go that lost their
//! process again and again.

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
    store::claim::{Claim, ClaimWish, Claimed, DueSuspects, Losses, QueuePlace},
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
    /// Its group of suspects, when it is one: under way until the last of them is called.
    _group: Option<Group>,
}

/// The one group of suspects that may be under way in a lane.
type Group = Arc<OwnedSemaphorePermit>;

/// A limited lane claims so much time's worth of calls ahead. Enough for a claim that takes its time, and little enough that
/// the claims of a process that dies, and the queues they fall in behind, are worked off within seconds of their leases' end.
const AHEAD: Duration = Duration::from_millis(1_400);

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

/// The merchants of a scope; `None`: all.
fn merchants(scope: &Scope) -> Option<&[String]> {
    match scope {
        Scope::All => None,
        Scope::Only(merchants) => Some(merchants.as_slice()),
    }
}

/// Whom a claim is after.
pub(super) enum Whom<'a> {
    /// Items that lost their process so often in a row.
    Suspects(Losses),
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
    let (losses, behind) = match whom {
        Whom::Suspects(losses) => (losses, None),
        Whom::Others { behind } => (Losses::OnceAtMost, behind),
    };
    let wish = ClaimWish {
        platform: inner.platform.id,
        check,
        gate: check.gate(),
        items_max: u32::try_from(batch).unwrap_or(u32::MAX),
        merchants: merchants(&wanted.scope),
        lease: lease(inner, check.endpoint()),
        losses,
        merchant_interval: inner.merchant_interval(check.endpoint()),
    };
    inner.progress.book_under(wanted.run);
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
pub(super) fn ways(claims: Vec<Claim>, mut room: OwnedSemaphorePermit, group: Option<&Group>) -> Vec<Way> {
    claims
        .into_iter()
        .map_while(|claim| Some(Way { claim, _room: room.split(1)?, _group: group.map(Arc::clone) }))
        .collect()
}

/// Items that lost their process on two claims in a row or more. Whoever kills its process is found out by going in ever smaller
/// company; the others are cleared by their first record.
pub(super) struct Suspects {
    /// The lane's check.
    pub check: CheckName,
    /// One group at a time: those who died together are the suspects of one death.
    one: Arc<Semaphore>,
    look_at: Instant,
    /// Of whom the log has said that they begin, and not yet that they are through.
    begun: Option<Scope>,
}

impl Suspects {
    pub fn of(check: CheckName) -> Self {
        Self { check, one: Arc::new(Semaphore::new(1)), look_at: Instant::now(), begun: None }
    }

    /// The next group of suspects, when the last one is called: of those that may go in the largest company. Looked for when
    /// little else is due. `window`: claims under way in the lane at most.
    pub async fn next(&mut self, inner: &Inner, wanted: &Wanted, room: &Arc<Semaphore>, window: usize) -> Vec<Way> {
        let Ok(one) = Arc::clone(&self.one).try_acquire_owned() else { return Vec::new() };
        if Instant::now() < self.look_at {
            return Vec::new();
        }
        self.look_at = Instant::now() + SUSPECTS_EVERY;
        let Some(due) = self.due(inner, &wanted.scope).await else { return Vec::new() };
        if due.to_park {
            self.park(inner).await;
        }
        for losses in due.claimable {
            let company = usize::try_from(losses.company_max()).unwrap_or(window).min(window);
            let Some(room) = take_room(inner, room, company).await else { return Vec::new() };
            let claims = claim_batch(inner, self.check, wanted, company, Whom::Suspects(losses)).await.claims;
            // Another process took them, or their gate bars them: those of the next level may go.
            let Some(first) = claims.first() else { continue };
            if losses.company_max() == 1 {
                tracing::warn!(
                    check.name = self.check.name(),
                    merchant.id = first.key.appid,
                    "lost its process {losses}: goes alone"
                );
            }
            if self.begun.replace(wanted.scope.clone()).is_none() {
                tracing::info!(
                    check.name = self.check.name(),
                    suspects = due.items,
                    at_a_time = company,
                    "some items lost their process {losses} in a row: such items go in small groups, until it is known who kills it"
                );
            }
            self.look_at = Instant::now();
            return ways(claims, room, Some(&Arc::new(one)));
        }
        self.say_if_through(due.items);
        Vec::new()
    }

    /// Waits until the group under way is called; for ever, when there is none.
    pub async fn called(&self) {
        if self.one.available_permits() > 0 {
            return std::future::pending().await;
        }
        self.one.acquire().await.map(drop).unwrap_or_default();
    }

    /// The lane ends: says whether those whose beginning was told are through.
    pub async fn end(mut self, inner: &Inner) {
        let Some(scope) = self.begun.clone() else { return };
        // A Postgres that is away is not waited for: the line is left out.
        if let Ok(Some(due)) = tokio::time::timeout(SUSPECTS_EVERY, self.due(inner, &scope)).await {
            self.say_if_through(due.items);
        }
    }

    fn say_if_through(&mut self, left: u64) {
        if left == 0 && self.begun.take().is_some() {
            tracing::info!(check.name = self.check.name(), "the items that had lost their process are through");
        }
    }

    async fn due(&self, inner: &Inner, scope: &Scope) -> Option<DueSuspects> {
        let interval = inner.merchant_interval(self.check.endpoint());
        inner
            .store
            .due_suspects(inner.platform.id, self.check, merchants(scope), interval)
            .await
            .inspect_err(|error| {
                tracing::warn!(check.name = self.check.name(), %error, "looking for items that lost their process waits for Postgres");
            })
            .ok()
    }

    async fn park(&self, inner: &Inner) {
        match inner.store.park(inner.platform.id, self.check).await {
            Ok(parked) => {
                for appid in parked {
                    tracing::error!(
                        check.name = self.check.name(),
                        merchant.id = appid,
                        "the process died on each of its last five claims: parked for a day"
                    );
                }
            }
            Err(error) => tracing::warn!(check.name = self.check.name(), %error, "parking waits for Postgres"),
        }
    }
}
