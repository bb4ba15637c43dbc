//! What is wanted now: which checks are to be claimed for, and for whom. Looked up in Postgres a few times a minute,
//! read by every lane.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{Away, Inner, Until, close, halt, stuck::StuckWatch};
use crate::{
    domain::CheckName,
    store::{
        StoreError,
        runs::{OpenRun, RunState, Shut},
    },
};

/// How often the board is looked up when nothing happens.
const EVERY: Duration = Duration::from_secs(2);

/// A run by hand gives up after Postgres was away for this long.
const AWAY_MAX: Duration = Duration::from_secs(120);

/// For whom a check is to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every merchant.
    All,
    /// These merchants.
    Only(Arc<Vec<String>>),
}

/// A check's place on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// For whom.
    pub scope: Scope,
    /// The run that the work is booked under.
    pub run: Uuid,
    /// Claim this many items at most, one by one: the platform is being probed.
    pub probe: bool,
}

/// What is wanted now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Board {
    /// Checks that are to be claimed for.
    pub wanted: HashMap<CheckName, Wanted>,
}

/// The checks that stood on the board and no longer do: a deadline is over, or an operator holds them.
#[derive(Default)]
pub(super) struct Unwanted {
    checks: Mutex<Vec<CheckName>>,
    /// There are more of them, perhaps.
    pub(super) changed: Notify,
}

impl Unwanted {
    fn follow(&self, board: &Board) {
        let left: Vec<_> = CheckName::ALL.iter().copied().filter(|check| !board.wanted.contains_key(check)).collect();
        let mut checks = self.checks.lock().expect("nobody panics while holding the list");
        if *checks != left {
            *checks = left;
            self.changed.notify_waiters();
        }
    }

    /// Whether claims of this check go back.
    pub(super) fn covers(&self, check: CheckName) -> bool {
        self.checks.lock().expect("nobody panics while holding the list").contains(&check)
    }
}

/// The board of these runs: each check that is open in some run and not shut.
fn wanted(runs: &[OpenRun], shut: &[Shut], messages: bool, probe: bool) -> Board {
    let mut board = Board::default();
    for run in runs {
        if !run.planned || run.overdue.is_some() {
            continue;
        }
        for check in &run.checks {
            let mute = check.messages_people() && (run.dry_run || !messages);
            if mute || shut.iter().any(|shut| shut.check == *check) {
                continue;
            }
            let scope = match &run.merchants {
                None => Scope::All,
                Some(merchants) => Scope::Only(Arc::new(merchants.clone())),
            };
            board
                .wanted
                .entry(*check)
                .and_modify(|known| match (&mut known.scope, &scope) {
                    (Scope::All, _) => {}
                    (known, Scope::All) => *known = Scope::All,
                    (Scope::Only(known), Scope::Only(more)) => {
                        let mut union: Vec<String> = known.iter().chain(more.iter()).cloned().collect();
                        union.sort();
                        union.dedup();
                        *known = Arc::new(union);
                    }
                })
                .or_insert(Wanted { scope, run: run.run_id, probe });
        }
    }
    board
}

/// What a probe may claim: one check that has something due, so that one merchant is tried. A reading where there is one; it
/// messages nobody.
async fn only_one(inner: &Inner, mut board: Board) -> Result<Board, StoreError> {
    let mut checks: Vec<CheckName> = board.wanted.keys().copied().collect();
    checks.sort_by_key(|check| (check.messages_people(), *check as usize));
    for check in checks {
        let merchants = match &board.wanted[&check].scope {
            Scope::All => None,
            Scope::Only(merchants) => Some(merchants.as_slice()),
        };
        if inner.store.unfinished(inner.platform.id, &[check], merchants).await? {
            board.wanted.retain(|wanted, _| *wanted == check);
            return Ok(board);
        }
    }
    // Nobody can be tried now; whoever looks when something is due may take the probe.
    inner.halt.probes_no_more();
    Ok(Board::default())
}

/// Why the board is kept no more.
pub(super) enum Kept {
    /// The awaited run ended.
    Ended(RunState, Option<String>),
    /// Stopped before that.
    Stopped,
    /// Nothing moves, for so long, and nothing explains it.
    Stuck(Duration),
}

/// Keeps the board until the work is over.
pub(super) async fn keep(inner: &Arc<Inner>, board: &watch::Sender<Board>, until: Until) -> Kept {
    let mut stuck = StuckWatch::default();
    let mut away: Option<(Away, Instant)> = None;
    loop {
        let looked = tokio::select! {
            () = inner.stop.cancelled() => return Kept::Stopped,
            looked = look(inner, board, until) => looked,
        };
        match looked {
            Ok(Some((state, reason))) => return Kept::Ended(state, reason),
            Ok(None) => {
                if away.take().is_some() {
                    tracing::info!("Postgres is back");
                }
            }
            Err(error) => {
                let how = how_away(&error);
                if away.is_none_or(|(known, _)| known != how) {
                    say_away(how, &error);
                }
                let since = away.map_or_else(Instant::now, |(_, since)| since);
                away = Some((how, since));
                // A person who waits for a run is told; an unattended process waits on.
                if until != Until::Stopped && since.elapsed() > AWAY_MAX {
                    tracing::error!(%error, "Postgres stays away; another process or the next run goes on");
                    return Kept::Stopped;
                }
            }
        }
        inner.progress.set_database_away(away.map(|(how, _)| how));
        if until == Until::Stopped && away.is_none() {
            let now = board.borrow().clone();
            match stuck.look(inner, &now).await {
                Ok(Some(quiet)) => return Kept::Stuck(quiet),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "what could be claimed could not be looked up"),
            }
        }
        if away.is_none() {
            inner.progress.looked();
        }
        let next = Instant::now() + EVERY;
        tokio::select! {
            () = inner.stop.cancelled() => return Kept::Stopped,
            () = inner.look.notified() => {}
            () = sleep_until(next) => {}
        }
    }
}

fn how_away(error: &StoreError) -> Away {
    match error {
        StoreError::ReadOnly(_) => Away::ReadOnly,
        StoreError::Postgres(_) | StoreError::Data(_) | StoreError::Collision(_) | StoreError::Inconsistent(_) => {
            Away::Silent
        }
    }
}

fn say_away(how: Away, error: &StoreError) {
    match how {
        Away::Silent => tracing::warn!(%error, "Postgres does not answer; the work goes on when it is back"),
        Away::ReadOnly => tracing::warn!(
            %error,
            "Postgres can be read and not written; the work goes on by itself when it can be written again"
        ),
    }
}

/// Looks once: plans and closes runs, and writes the board.
async fn look(
    inner: &Arc<Inner>,
    board: &watch::Sender<Board>,
    until: Until,
) -> Result<Option<(RunState, Option<String>)>, StoreError> {
    let platform = inner.platform.id;
    // What follows only reads while nothing is to be planned or closed: all would seem well where nothing can be done.
    inner.store.check_writable().await?;
    let mut runs = inner.store.open_runs(platform).await?;
    for run in &mut runs {
        if !run.planned {
            close::plan(inner, run).await?;
            run.planned = true;
        }
    }
    let waiting = match until {
        // A sync is one process's work, and may take hours: it tries no merchant.
        Until::Stopped if runs.iter().all(|run| run.of_one_process) => halt::waiting(inner).await?,
        Until::Stopped | Until::RunCloses(_) => Vec::new(),
    };
    let mut ended = None;
    if runs.is_empty() && waiting.is_empty() {
        inner.unwanted.follow(&Board::default());
        board.send_if_modified(|known| !std::mem::take(&mut known.wanted).is_empty());
    } else {
        let shut = inner.store.shut_checks(platform).await?;
        let breaker = halt::consult(inner, until).await?;
        let messages = inner.settings.messages;
        let next = match &breaker {
            halt::Consulted::Halted { .. } | halt::Consulted::Elsewhere => Board::default(),
            halt::Consulted::Working => wanted(&runs, &shut, messages, false),
            halt::Consulted::Probing if !waiting.is_empty() => {
                // Nothing is planned while every run waits.
                inner.store.plan(inner.context(None), inner.settings.hold_new).await?;
                only_one(inner, wanted(&waiting, &shut, messages, true)).await?
            }
            halt::Consulted::Probing => only_one(inner, wanted(&runs, &shut, messages, true)).await?,
        };
        inner.unwanted.follow(&next);
        board.send_if_modified(|known| {
            let changed = *known != next;
            if changed {
                *known = next;
            }
            changed
        });
        let halted = match &breaker {
            halt::Consulted::Halted { reason } => Some(reason.as_str()),
            halt::Consulted::Working | halt::Consulted::Probing | halt::Consulted::Elsewhere => None,
        };
        for run in &runs {
            close::if_over(inner, run, &shut, halted).await?;
        }
    }
    if let Until::RunCloses(run) = until {
        let (state, reason) = inner.store.run_state(run).await?;
        if state != RunState::Open {
            ended = Some((state, reason));
        }
    }
    Ok(ended)
}
