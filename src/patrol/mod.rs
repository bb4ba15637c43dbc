//! The engine: plan -> claim -> pace -> intend -> call -> classify -> judge -> settle -> record.
//!
//! ```text
//! board    what is wanted: open runs, held and closed checks, the breaker      (one task, a few statements a second)
//! lane     claims in batches, sees to tokens, paces, takes a slot              (two tasks for each check)
//! callers  take the step of one claim after another                            (a task for each slot)
//! step     intends, calls, judges and settles one claim
//! intents  writes messages down before they are made, as many as wait          (whichever step comes first)
//! recorder records settled claims in batches                                   (one task)
//! learn    says and hears what limits hold, and asks WeChat about them         (one task)
//! close    closes runs that have nothing left, with their coverage             (the board's task)
//! ```
//!
//! Cron, `--once`, `demo` and the tests all take this one way. Channels are bounded, memory does not grow with the number
//! of merchants, and no transaction is open while HTTP is.

mod beats;
mod board;
mod callers;
mod claims;
mod close;
mod closures;
mod dead_tokens;
mod halt;
mod intents;
mod lane;
mod learn;
mod listed;
pub mod progress;
mod recorder;
mod recovery;
pub mod settle;
mod step;
mod stuck;
pub mod sync;
#[cfg(test)]
#[cfg(feature = "demo")]
mod tests;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use board::Kept;

use crate::{
    checks::{self, Check},
    domain::{CheckName, Endpoint, Limit, Settled, link::Patience, message::MessagePolicy},
    store::{Store, StoreError, merchant_list::MerchantList, record::RecordContext, runs::RunState},
    wechat::{Platform, Wire},
};

pub(crate) use close::end_of_one_process;
pub use progress::{Away, CheckProgress, Progress};

/// What the engine is told by the configuration.
#[derive(Debug, Clone)]
pub struct PatrolSettings {
    /// Calls in flight at most. Each platform has slots of its own, so that one whose calls hang delays no other.
    pub calls_max: usize,
    /// How long one call may take in all, its one repeat with a fresh token included twice.
    pub call_deadline: Duration,
    /// The limits of the platform's endpoints; an endpoint without one is not limited.
    pub limits: std::collections::HashMap<Endpoint, Limit>,
    /// Limits of the platform's endpoints that are counted and not enforced; none of them is in `limits`.
    pub shadows: std::collections::HashMap<Endpoint, Limit>,
    /// The limits of one merchant on an endpoint.
    pub merchant_limits: std::collections::HashMap<Endpoint, Limit>,
    /// What limits asks.
    pub ask_policy: MessagePolicy,
    /// What limits invitations.
    pub invite_policy: MessagePolicy,
    /// How long undecided invitations are waited for.
    pub patience: Patience,
    /// Whether messages to new merchants wait for an operator.
    pub hold_new: bool,
    /// An unattended engine that could work and does not for this long ends itself.
    pub stuck_after: Duration,
    /// Whether this process messages people at all; `false` for a dry run.
    pub messages: bool,
    /// Whether WeChat is asked about its limits.
    pub learns: bool,
    /// The operator's own list of merchants: WeChat's list then only brings lost tokens back.
    pub source: Option<MerchantList>,
}

/// The engine of one process and platform. Clones share it.
#[derive(Clone)]
pub struct Patrol {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    wire: Wire,
    platform: Platform,
    /// The platform's appid as a label of metrics, which costs no copy of the text.
    label: metrics::SharedString,
    checks: Vec<Box<dyn Check>>,
    settings: PatrolSettings,
    slots: Arc<Semaphore>,
    refreshes: Arc<Semaphore>,
    halt: halt::HaltWatch,
    slow_downs: closures::SlowDowns,
    closed: closures::ClosedHere,
    dead: dead_tokens::DeadTokens,
    /// Checks that no run wants any more: their claims go back.
    unwanted: board::Unwanted,
    leases: beats::Leases,
    asks: intents::Intents,
    invites: intents::Intents,
    heard: learn::Heard,
    recovery: recovery::Recovery,
    /// The schedules that are on: their waiting runs lend the merchant by which a halted platform is tried.
    schedules: Mutex<Vec<String>>,
    progress: Progress,
    /// Something was recorded: a lane that was dry may find work.
    recorded: Notify,
    /// Something happened that the board must look at now.
    look: Notify,
    stop: CancellationToken,
}

/// How long the work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until this run is closed.
    RunCloses(Uuid),
    /// Until [`Patrol::stop`].
    Stopped,
}

impl Patrol {
    /// An engine that is not working yet.
    #[must_use]
    pub fn new(
        store: Store,
        wire: Wire,
        platform: Platform,
        settings: PatrolSettings,
        stop: CancellationToken,
    ) -> Self {
        let refreshes = claims::window(&settings, Endpoint::ApiAuthorizerToken, store.lease()).min(256);
        let inner = Inner {
            checks: checks::all(settings.ask_policy.cooldown),
            slots: Arc::new(Semaphore::new(settings.calls_max)),
            refreshes: Arc::new(Semaphore::new(refreshes)),
            halt: halt::HaltWatch::default(),
            slow_downs: closures::SlowDowns::default(),
            closed: closures::ClosedHere::default(),
            dead: dead_tokens::DeadTokens::default(),
            unwanted: board::Unwanted::default(),
            leases: beats::Leases::default(),
            asks: intents::Intents::default(),
            invites: intents::Intents::default(),
            heard: learn::Heard::default(),
            recovery: recovery::Recovery::default(),
            schedules: Mutex::default(),
            progress: Progress::default(),
            recorded: Notify::new(),
            look: Notify::new(),
            label: Arc::<str>::from(platform.component_appid.as_str()).into(),
            store,
            wire,
            platform,
            settings,
            stop,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The counters of this process's work.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    /// Why the platform is halted, as last read; `None`: it works.
    #[must_use]
    pub fn halted(&self) -> Option<String> {
        self.inner.halt_reason()
    }

    /// Lets the engine look for work at once: a tick opened a run.
    pub fn look(&self) {
        self.inner.look.notify_one();
    }

    /// Says which schedules are on for this platform: while it is halted, a run of them that waits lends the merchant that is
    /// tried. None, as long as nobody says.
    pub fn hears(&self, schedules: Vec<String>) {
        *self.inner.schedules.lock().expect("nobody panics while holding the list") = schedules;
    }

    /// How often the engine has looked for work so far.
    #[must_use]
    pub fn looked(&self) -> u64 {
        self.inner.progress.looks()
    }

    /// Stops in order: no new claims, calls in flight finish and are recorded, leases go back.
    pub fn stop(&self) {
        self.inner.stop.cancel();
    }

    /// Asks WeChat what is left of today's questions about its limits, and answers how many were asked. The engine does so
    /// by itself while it works. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn ask_quotas(&self) -> Result<u32, StoreError> {
        learn::ask(&self.inner).await
    }

    /// Works on every open run, and answers how the run ended that it was to wait for. Postgres may be away meanwhile:
    /// the work goes on when it is back.
    ///
    /// # Errors
    /// Postgres stayed away at the end, so that the state of the run is not known.
    pub async fn work(&self, until: Until) -> Result<Option<(RunState, Option<String>)>, StoreError> {
        let inner = &self.inner;
        let told_at = learn::begin(inner).await;
        // What worked for others today is not at fault because of the first odd merchant here.
        if inner.store.worked_lately(inner.platform.id).await.unwrap_or(false) {
            inner.halt.works();
        }
        if inner.settings.messages {
            match inner.store.wake_asks_below(inner.platform.id, inner.settings.ask_policy.messages_max).await {
                Ok(0) => {}
                Ok(asks) => tracing::info!(asks, "asks that slept at a smaller maximum are due"),
                Err(error) => tracing::warn!(%error, "asks at a smaller maximum sleep on"),
            }
        }
        let tasks = TaskTracker::new();
        let (settled, settlements) = mpsc::channel::<Settled>(2 * recorder::BATCH_MAX);
        let (board, lookout) = watch::channel(board::Board::default());
        let recorder = tokio::spawn(recorder::run(Arc::clone(inner), settlements));
        let jobs = callers::start(inner, &settled, &tasks);
        for index in 0..inner.checks.len() {
            if inner.checks[index].name().messages_people() && !inner.settings.messages {
                continue;
            }
            tasks.spawn(lane::run(Arc::clone(inner), index, lookout.clone(), settled.clone(), jobs.clone()));
        }
        drop((settled, jobs));
        tasks.spawn(recovery::run(Arc::clone(inner)));
        tasks.spawn(beats::say_alive(Arc::clone(inner)));
        tasks.spawn(beats::prolong(Arc::clone(inner)));
        tasks.spawn(learn::run(Arc::clone(inner), told_at));
        let ended = board::keep(inner, &board, until).await;
        let (ended, stuck) = match ended {
            Kept::Ended(state, reason) => (Some((state, reason)), None),
            Kept::Stopped => (None, None),
            Kept::Stuck(quiet) => (None, Some(quiet)),
        };
        inner.stop.cancel();
        drop(board);
        tasks.close();
        let over = async {
            tasks.wait().await;
            // The lanes have dropped their ends of the channel: the recorder records what is left and ends.
            if let Err(error) = recorder.await {
                tracing::error!(%error, "the recorder ended in a bug; what it had not recorded comes due again by itself");
            }
            inner.wire.pace().settle().await;
        };
        // What is stuck may be one of those.
        let over_by = stuck.map_or(Duration::MAX, |_| inner.step_max() + inner.store.lease());
        if tokio::time::timeout(over_by, over).await.is_err() {
            tracing::error!("something does not end; its claims come due again by themselves");
        }
        match inner.store.return_leases(inner.platform.id).await {
            Ok(0) => {}
            Ok(items) => tracing::info!(items, "leases went back"),
            Err(error) => tracing::warn!(%error, "leases could not be given back; they end by themselves"),
        }
        if let Some(quiet) = stuck {
            return Err(StoreError::Inconsistent(format!(
                "work has been due for {} s and nothing could be claimed or recorded, though nothing forbids it: this process \
                 ends, start it again and keep its log",
                quiet.as_secs()
            )));
        }
        if ended.is_none()
            && let Until::RunCloses(run) = until
        {
            return close::interrupted(inner, run, "stopped by a signal").await.map(Some);
        }
        Ok(ended)
    }
}

impl Inner {
    fn now(&self) -> DateTime<Utc> {
        self.store.now()
    }

    fn context(&self, run: Option<Uuid>) -> RecordContext {
        RecordContext { platform: self.platform.id, run, patience: self.settings.patience }
    }

    /// What limits the messages of a check that messages people, and where they are written down.
    fn purpose(&self, check: CheckName) -> Option<(&MessagePolicy, &intents::Intents)> {
        match check {
            CheckName::Ask => Some((&self.settings.ask_policy, &self.asks)),
            CheckName::Invite => Some((&self.settings.invite_policy, &self.invites)),
            CheckName::Phone | CheckName::Callback | CheckName::Links => None,
        }
    }

    /// The longest that a step may take after its permit: the call, and its one repeat with a fresh token.
    fn step_max(&self) -> Duration {
        self.settings.call_deadline + Duration::from_secs(2)
    }
}
