//! One endpoint of one platform: its slices, its waiters in their order, and whether it is closed.
//!
//! Whoever holds the turn works the lane: asks for slices, sleeps until the next slot, takes it, and passes the turn on.
//! Everything that must outlive a dropped waiter (the slots, the question to the source) is kept in [`Slots`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::governed::Governor;
use super::slots::{QUESTIONS_MAX, Run, Slots, late_max, slice_slots};
use super::{Closed, Permit};
use crate::domain::ports::{PortError, Slice, SliceSource, Unused};
use crate::domain::{Endpoint, Limit, PlatformId};

/// The next slice is asked for when the present one lasts no longer than this.
const PREFETCH: Duration = Duration::from_millis(100);
/// How long the source may think before it counts as silent.
const SILENCE: Duration = Duration::from_millis(300);
/// A question that is out for longer is asked again, on another connection.
const HUNG: Duration = Duration::from_secs(5);
/// Calls under a limit in shadow are counted together for this long.
const SHADOW_EVERY: Duration = Duration::from_millis(250);
/// Never asked again sooner than this.
const AGAIN_MIN: Duration = Duration::from_millis(5);
/// A closure that the source tells of is asked about again after this: an operator may have ended it.
const CLOSED_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Lane {
    platform: PlatformId,
    endpoint: Endpoint,
    limit: Option<Limit>,
    source: Arc<dyn SliceSource>,
    waiting: AtomicUsize,
    closures: watch::Sender<Closures>,
    turn: Mutex<Slots>,
    shadow: Shadow,
}

/// Calls that a limit in shadow has seen and nobody has counted yet.
#[derive(Default)]
struct Shadow {
    seen: AtomicU32,
    counting: Mutex<()>,
}

/// Until when the lane is closed, and by whom.
#[derive(Default)]
struct Closures {
    /// In this process.
    here: Option<Instant>,
    /// For every process, as the source said, and until when that is believed.
    shared: Option<(Instant, Instant)>,
}

impl Closures {
    fn closed(&self) -> Option<Closed> {
        let now = Instant::now();
        let shared = self.shared.filter(|(_, believed_until)| now < *believed_until).map(|(opens_at, _)| opens_at);
        let opens_at = self.here.max(shared)?;
        (now < opens_at).then(|| Closed { wait: opens_at - now })
    }
}

/// Counts a waiter while it lives.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    pub(super) fn new(
        platform: PlatformId,
        endpoint: Endpoint,
        limit: Option<Limit>,
        source: Arc<dyn SliceSource>,
    ) -> Self {
        let governor = limit.and_then(|limit| limit.interval()).and_then(Governor::new);
        let asked = VecDeque::with_capacity(QUESTIONS_MAX);
        let leftover = Arc::default();
        let slots =
            Slots { run: None, asking: None, silent: false, appetite: 1, granted: 1, governor, asked, leftover };
        Self {
            platform,
            endpoint,
            limit,
            source,
            waiting: AtomicUsize::new(0),
            closures: watch::Sender::default(),
            turn: Mutex::new(slots),
            shadow: Shadow::default(),
        }
    }

    /// Closes the lane in this process for at least this long.
    pub(super) fn close(&self, wait: Duration) {
        let until = Instant::now() + wait;
        self.closures.send_modify(|closures| closures.here = closures.here.max(Some(until)));
    }

    /// The next slot, in the order of asking, so long ahead of its time; so many are wanted right after it.
    pub(super) async fn permit(self: &Arc<Self>, following: usize, ahead: Duration) -> Result<Permit, Closed> {
        let mut closures = self.closures.subscribe();
        let work = async {
            let Some(limit) = self.limit else { return Ok(Permit::UNLIMITED) };
            if limit.shadow() {
                self.see_in_shadow();
                return Ok(Permit::UNLIMITED);
            }
            let _waiter = Waiter::new(&self.waiting);
            let mut slots = self.turn.lock().await;
            loop {
                match slots.take(late_max(limit), ahead).await {
                    Some(slot) => {
                        self.prefetch(limit, following, &mut slots);
                        return Ok(Permit { slot: Some(slot) });
                    }
                    None => self.refill(limit, following, &mut slots).await?,
                }
            }
        };
        tokio::select! {
            biased;
            closed = closed(&mut closures) => Err(closed),
            permit = work => permit,
        }
    }

    /// Notes a call that nothing holds back. The first after a pause sees to it that they are counted.
    fn see_in_shadow(self: &Arc<Self>) {
        if self.shadow.seen.fetch_add(1, Ordering::Relaxed) == 0 {
            let lane = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(SHADOW_EVERY).await;
                lane.count_shadow().await;
            });
        }
    }

    /// Has the calls counted that the limit in shadow has seen by now; what can't be counted now is counted with the next.
    pub(super) async fn count_shadow(&self) {
        let _turn = self.shadow.counting.lock().await;
        let seen = self.shadow.seen.swap(0, Ordering::Relaxed);
        if seen == 0 {
            return;
        }
        match self.source.count_in_shadow(self.platform, self.endpoint, seen).await {
            Ok(held_back) => {
                tracing::debug!(endpoint.name = self.endpoint.name(), seen, held_back, "a limit in shadow counted");
            }
            Err(error) => {
                self.shadow.seen.fetch_add(seen, Ordering::Relaxed);
                tracing::debug!(endpoint.name = self.endpoint.name(), %error, "a limit in shadow is counted later");
            }
        }
    }

    /// Gives back what no call was made with: the rest of the present slice, and what a question that is out still brings.
    pub(super) async fn give_back(&self) {
        // A refresh may stand here as long as the source is silent; its slots stay counted then.
        let Ok(mut slots) = timeout(SILENCE, self.turn.lock()).await else { return };
        if let Some(asking) = slots.asking.take()
            && let Ok(Ok((at, Ok(Slice::Granted { count, .. })))) = timeout(SILENCE, asking).await
        {
            slots.leftover.add(count, at);
        }
        if let Some(run) = slots.run.take() {
            slots.leftover.add(run.left, run.granted_at);
        }
        let unused = slots.leftover.drain();
        if unused.slots > 0
            && let Err(error) = self.source.take_slice(self.platform, self.endpoint, 0, unused).await
        {
            slots.leftover.put_back(unused);
            tracing::debug!(endpoint.name = self.endpoint.name(), %error, "unused slots stay counted");
        }
    }

    /// Asks for the next slice before the present one is over, if somebody waits for it.
    fn prefetch(&self, limit: Limit, following: usize, slots: &mut Slots) {
        let soon = slots.run.as_ref().is_none_or(|run| run.interval.saturating_mul(run.left) <= PREFETCH);
        // The waiter that calls this is served already.
        let wanted = following > 0 || self.waiting.load(Ordering::Relaxed) > 1;
        if soon && wanted && slots.asking.is_none() && slots.may_ask_at() <= Instant::now() {
            slots.asking = Some(self.ask(limit, following, slots));
        }
    }

    /// Gets the next slots. While the source is silent there are none: whoever cannot reach it cannot know what the others
    /// take, and what they take is all of it.
    async fn refill(&self, limit: Limit, following: usize, slots: &mut Slots) -> Result<(), Closed> {
        if slots.asking.is_none() {
            sleep_until(slots.may_ask_at()).await;
            slots.asking = Some(self.ask(limit, following, slots));
        }
        let answer = match slots.asking.as_mut() {
            Some(asking) => timeout(SILENCE, asking).await,
            None => return Ok(()),
        };
        let answer = match answer {
            // The question stays out; its answer is taken when it comes. On a connection that is dead none ever does.
            Err(_elapsed) => {
                if slots.asked.back().is_some_and(|asked| asked.elapsed() > HUNG)
                    && let Some(asking) = slots.asking.take()
                {
                    asking.abort();
                }
                Err("no answer in time".to_owned())
            }
            Ok(answer) => {
                slots.asking = None;
                match answer {
                    Ok((at, Ok(slice))) => Ok((at, slice)),
                    Ok((_, Err(error))) => Err(error.to_string()),
                    Err(join) => Err(join.to_string()),
                }
            }
        };
        match answer {
            Ok((at, slice)) => {
                if std::mem::take(&mut slots.silent) {
                    tracing::info!(endpoint.name = self.endpoint.name(), "the shared limit answers again");
                }
                match slice {
                    Slice::Granted { count, wait, interval, good_for } if count > 0 => {
                        let good_until = good_for.map(|good_for| at + wait + good_for);
                        slots.granted = count;
                        slots.run = Some(Run { next: at + wait, left: count, interval, good_until, granted_at: at });
                    }
                    Slice::Granted { wait, .. } | Slice::Later { wait } => {
                        sleep_until(at + wait.max(AGAIN_MIN)).await;
                    }
                    Slice::Closed { wait } => {
                        let shared = Some((at + wait, at + wait.min(CLOSED_AGAIN)));
                        self.closures.send_modify(|closures| closures.shared = shared);
                        return Err(Closed { wait });
                    }
                }
            }
            Err(reason) => {
                if !std::mem::replace(&mut slots.silent, true) {
                    tracing::warn!(
                        endpoint.name = self.endpoint.name(),
                        reason,
                        "the shared limit does not answer: calls wait until it does"
                    );
                }
            }
        }
        Ok(())
    }

    /// Asks the source in a task of its own, so that the answer is not lost with the waiter that asked.
    fn ask(
        &self,
        limit: Limit,
        following: usize,
        slots: &mut Slots,
    ) -> JoinHandle<(Instant, Result<Slice, PortError>)> {
        if slots.asked.len() >= QUESTIONS_MAX {
            slots.asked.pop_front();
        }
        slots.asked.push_back(Instant::now());
        let waiting = self.waiting.load(Ordering::Relaxed).saturating_add(following);
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let wanted = waiting.max(slots.appetite).clamp(1, slice_slots(limit));
        let (source, platform, endpoint) = (Arc::clone(&self.source), self.platform, self.endpoint);
        // Each permit that nobody has called with holds on to the leftover, to come back to it.
        let more = slots.run.as_ref().is_some_and(|run| run.left > 0) || Arc::strong_count(&slots.leftover) > 1;
        let leftover = Arc::clone(&slots.leftover);
        tokio::spawn(async move {
            let unused = Unused { more, ..leftover.drain() };
            let answer = source.take_slice(platform, endpoint, wanted, unused).await;
            let at = Instant::now();
            if answer.is_err() {
                leftover.put_back(unused);
            }
            (at, answer)
        })
    }
}

/// Ends when the lane is closed.
async fn closed(closures: &mut watch::Receiver<Closures>) -> Closed {
    loop {
        if let Some(closed) = closures.borrow_and_update().closed() {
            return closed;
        }
        if closures.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shared_closure_is_believed_for_a_while_and_one_of_this_process_until_its_end() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let believed = Closures { here: None, shared: Some((now + hour, now + CLOSED_AGAIN)) };
        assert!(believed.closed().is_some_and(|closed| closed.wait > hour / 2));
        let doubted = Closures { here: None, shared: Some((now + hour, now)) };
        assert_eq!(doubted.closed(), None);
        let both = Closures { here: Some(now + hour * 2), shared: Some((now + hour, now)) };
        assert!(both.closed().is_some_and(|closed| closed.wait > hour));
        assert_eq!(Closures::default().closed(), None);
    }
}
