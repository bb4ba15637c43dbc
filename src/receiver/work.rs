//! What follows from an authorization, after it was answered: its code is exchanged for tokens, and WeChat is asked about
//! the merchant. Every process that runs unattended works on what any receiver noted, so the death of one loses nothing.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    domain::{CallError, Class, Endpoint},
    patrol::sync::{Sync, SyncError},
    store::{
        Store, StoreError,
        events::{Grant, Granted, PendingEvent},
    },
    wechat::{Authorization, Platform, Wire},
};

/// How often events are looked for that other processes noted, or left.
const EVERY: Duration = Duration::from_secs(5);
/// Events that are worked on at once.
const AT_ONCE: usize = 16;
/// How long an event belongs to its worker: more than all calls that it may need.
const LEASE: Duration = Duration::from_secs(120);
/// What is not done by then is left to whoever claims it next.
const WORK_MAX: Duration = Duration::from_secs(110);
/// A closure that lasts longer is not waited for: the event comes again, and others have its place meanwhile.
const CLOSED_MAX: Duration = Duration::from_secs(5);
/// How long work under way may go on when the process is told to stop: a call, and what is to be kept of it.
const GRACE: Duration = Duration::from_secs(12);
/// After this an event is left to the next sync.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// The first wait after a passing failure; it doubles up to five minutes.
const WAIT_MIN: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Works on the events of one platform.
pub struct Worker {
    /// Where events are noted.
    pub store: Store,
    /// The wire.
    pub wire: Wire,
    /// The platform.
    pub platform: Platform,
    /// Whether WeChat can be asked about merchants: that takes the platform's own token.
    pub informs: bool,
    /// Changes when something was noted in this process.
    pub noted: watch::Receiver<()>,
    /// Ends the work.
    pub stop: CancellationToken,
}

/// How the exchange of a code ended.
enum Exchange {
    /// What the merchant grants is kept.
    Kept,
    /// There was nothing to exchange: that was done before.
    DoneBefore,
    /// The code is of no use, and why. What it would have told can be had otherwise.
    Dead(String),
    /// Not now: why.
    Later(String),
    /// The event is another's, or of no interest any more.
    Left,
}

impl Worker {
    /// Works until it is told to stop; calls under way then have a while to end.
    pub async fn work(self) {
        let mut noted = self.noted.clone();
        let (worker, slots, tasks) = (Arc::new(self), Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
        let stop = worker.stop.clone();
        while !stop.is_cancelled() {
            let claimed = worker.claim(&slots).await;
            let found = !claimed.is_empty();
            for (event, slot) in claimed {
                let worker = Arc::clone(&worker);
                tasks.spawn(async move {
                    worker.see_to_in_time(&event).await;
                    drop(slot);
                });
            }
            // When every slot is taken, the next look waits for one, and for nothing else.
            let next = async {
                match (slots.available_permits(), found) {
                    (0, _) => drop(slots.acquire().await),
                    (_, true) => {}
                    (_, false) => tokio::select! {
                        () = changed(&mut noted) => {}
                        () = tokio::time::sleep(EVERY) => {}
                    },
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = next => {}
            }
        }
        tasks.close();
        tokio::time::timeout(GRACE, tasks.wait()).await.ok();
    }

    /// As many due events as there are free slots, each with its slot.
    async fn claim(&self, slots: &Arc<Semaphore>) -> Vec<(PendingEvent, OwnedSemaphorePermit)> {
        let free: Vec<OwnedSemaphorePermit> =
            std::iter::from_fn(|| Arc::clone(slots).try_acquire_owned().ok()).collect();
        let events_max = i64::try_from(free.len()).unwrap_or(0);
        match self.store.claim_events(self.platform.id, events_max, LEASE).await {
            Ok(events) => events.into_iter().zip(free).collect(),
            Err(error) => {
                tracing::debug!(%error, "authorization events wait for Postgres");
                Vec::new()
            }
        }
    }

    async fn see_to_in_time(&self, event: &PendingEvent) {
        match tokio::time::timeout(WORK_MAX, self.see_to(event)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(merchant.id = event.appid, %error, "an authorization waits for Postgres");
            }
            Err(_) => {
                if let Err(error) = self.put_off(event, "it took too long").await {
                    tracing::warn!(merchant.id = event.appid, %error, "an authorization took too long; it is tried again");
                }
            }
        }
    }

    async fn see_to(&self, event: &PendingEvent) -> Result<(), StoreError> {
        let dead = match self.exchange(event).await? {
            Exchange::Left => return Ok(()),
            Exchange::Later(why) => return self.put_off(event, &why).await,
            Exchange::Kept | Exchange::DoneBefore => None,
            Exchange::Dead(why) => Some(why),
        };
        if !self.informs {
            return self.store.settle_event(event, dead.as_deref()).await;
        }
        let sync = Sync {
            store: self.store.clone(),
            wire: self.wire.clone(),
            platform: self.platform.clone(),
            // WeChat's word is newer than any list; the next sync takes the list's again.
            source: None,
            stop: self.stop.clone(),
            closed_max: Some(CLOSED_MAX),
        };
        match (sync.inform(&event.appid).await, dead) {
            (Ok(_), None) => {
                tracing::info!(merchant.id = event.appid, "an authorization was seen to");
                self.store.settle_event(event, None).await
            }
            // The refresh token stands in the info as well.
            (Ok(row), Some(why)) if row.refresh_token.is_some() => {
                let grant = Grant {
                    access_token: None,
                    refresh_token: row.refresh_token,
                    permission_sets: row.permission_sets,
                };
                match self.store.keep_grant(self.platform.id, event, &grant, Some(&why)).await? {
                    Granted::Kept | Granted::Withdrawn => {
                        tracing::info!(
                            merchant.id = event.appid,
                            why,
                            "its info stood in for a lost authorization code"
                        );
                        self.store.settle_event(event, None).await
                    }
                    Granted::Overtaken => Ok(()),
                }
            }
            (Ok(_), Some(why)) => {
                tracing::warn!(
                    merchant.id = event.appid,
                    why,
                    "an authorization code is lost; the next sync sees to it"
                );
                self.store.settle_event(event, Some(&why)).await
            }
            (Err(SyncError::Info(error)), _) if error.class() == Class::Withdrawn => {
                self.store.settle_event(event, None).await
            }
            (Err(SyncError::Store(error)), _) => Err(error),
            (
                Err(
                    error @ (SyncError::Info(_)
                    | SyncError::List(_)
                    | SyncError::Source(_)
                    | SyncError::Closed(..)
                    | SyncError::Stopped),
                ),
                _,
            ) => self.put_off(event, &error.to_string()).await,
        }
    }

    async fn exchange(&self, event: &PendingEvent) -> Result<Exchange, StoreError> {
        let Some(code) = &event.code else { return Ok(Exchange::DoneBefore) };
        if event.code_dead {
            return Ok(Exchange::Dead("the code expired before it could be exchanged".to_owned()));
        }
        loop {
            match self.wire.pace().permit(self.platform.id, Endpoint::ApiQueryAuth).await {
                Ok(permit) if permit.still_good() => break,
                Ok(_) => {}
                Err(closed) => return Ok(Exchange::Later(format!("api_query_auth is closed for {:?}", closed.wait))),
            }
        }
        let grant = match self.wire.query_auth(&self.platform, &event.appid, code).await {
            Ok(authorization) => grant(authorization),
            Err(error) if passing(&error) => return Ok(Exchange::Later(error.to_string())),
            // The code stays on the row until the rest is settled: it is no secret any more, and says what is left to do.
            Err(error) => return Ok(Exchange::Dead(error.to_string())),
        };
        Ok(match self.store.keep_grant(self.platform.id, event, &grant, None).await? {
            Granted::Kept => Exchange::Kept,
            Granted::Withdrawn => {
                self.store.settle_event(event, None).await?;
                Exchange::Left
            }
            Granted::Overtaken => Exchange::Left,
        })
    }

    async fn put_off(&self, event: &PendingEvent, why: &str) -> Result<(), StoreError> {
        if event.age > PATIENCE {
            tracing::warn!(merchant.id = event.appid, why, "an authorization could not be seen to; the next sync does");
            return self.store.settle_event(event, Some(why)).await;
        }
        tracing::info!(merchant.id = event.appid, why, "an authorization is seen to later");
        self.store.put_event_off(event, wait(event.attempts), why).await
    }
}

/// Without a receiver in this process nothing is noted here, ever.
async fn changed(noted: &mut watch::Receiver<()>) {
    if noted.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn wait(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 16) - 1).unwrap_or(0);
    WAIT_MIN.saturating_mul(1 << doublings).min(WAIT_MAX)
}

fn grant(authorization: Authorization) -> Grant {
    let small = |sets: Vec<i64>| sets.into_iter().filter_map(|set| i32::try_from(set).ok()).collect();
    Grant {
        access_token: authorization.access_token,
        refresh_token: authorization.refresh_token,
        permission_sets: authorization.permission_sets.map(small),
    }
}

/// Whether the same exchange may succeed later. A lost answer may have used the code up: then the next try says so.
fn passing(error: &CallError) -> bool {
    match error.class() {
        Class::Transient | Class::Token | Class::QuotaMinute | Class::QuotaDay | Class::Halt | Class::Unknown => true,
        Class::Ok
        | Class::Permission
        | Class::Withdrawn
        | Class::QuotaMonth
        | Class::Pending
        | Class::Already
        | Class::Human
        | Class::NotApplicable
        | Class::Bug => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_five_seconds_to_five_minutes() {
        assert_eq!([1, 2, 3, 6, 7, 100].map(|attempts| wait(attempts).as_secs()), [5, 10, 20, 160, 300, 300]);
        assert_eq!(wait(i32::MIN), WAIT_MIN);
    }
}
