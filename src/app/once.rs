//! `--once`: one run by hand, on the same way as every other, and its coverage.

use std::{
    collections::HashMap,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::{App, AppError, Exit, Ready, merchants};
use crate::{
    cli::{FailOn, Once},
    domain::{
        CheckName, PlatformId,
        message::{MessagePolicy, Permission},
    },
    ops::print::{Column, Kind, Table},
    patrol::{Patrol, Progress, Until},
    store::{
        StoreError,
        runs::{CoverageRow, RunState, RunWish},
    },
};

/// A dry run lists this many candidates at most.
const CANDIDATES_MAX: i64 = 100_000;
/// A run by hand is closed as interrupted after this, when no deadline was given: more than 400 000 merchants take at the
/// default limits.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);

impl App {
    /// Does one run and prints its coverage.
    pub(super) async fn once(&self, once: &Once) -> Result<Exit, AppError> {
        let ready = self.ready().await?;
        let id = ready.platform.id;
        if !once.merchants.is_empty() {
            let known = self.store.known_merchants(id, &once.merchants).await?;
            if let Some(stranger) = once.merchants.iter().find(|appid| !known.contains_key(*appid)) {
                return Err(AppError::Input(format!(
                    "{stranger} is no known merchant: run `wxpatrol sync`, or import it, and check the appid"
                )));
            }
        }
        self.greet_token_source(&ready);
        self.know_everybody(&ready).await?;
        let checks = if once.checks.is_empty() { CheckName::ALL.to_vec() } else { sorted(&once.checks) };
        let wish = RunWish {
            checks,
            merchants: (!once.merchants.is_empty()).then(|| once.merchants.clone()),
            all: once.all,
            dry_run: once.dry_run,
            deadline: once.deadline.unwrap_or(DEADLINE),
        };
        self.mind_the_identity().await;
        let run = self.store.open_run(id, &wish).await?;
        let patrol = self.patrol(&ready, !once.dry_run);
        let ended = watched(&patrol, run).await?;
        let coverage = self.store.coverage(run).await.map_err(unfinished)?;
        if once.dry_run {
            let listed = self.would_message(id, &wish).await?;
            self.print_all(&[("coverage", coverage_table(run, &coverage)), ("would_message", listed)])?;
        } else {
            self.print(&coverage_table(run, &coverage))?;
        }
        self.leave().await;
        self.conclude(ended, &coverage, once.fail_on)
    }

    /// Who would be messaged now, and who not and why.
    async fn would_message(&self, platform: PlatformId, wish: &RunWish) -> Result<Table, AppError> {
        let policies: HashMap<CheckName, MessagePolicy> =
            wish.checks.iter().filter_map(|check| self.policy(*check).map(|policy| (*check, policy))).collect();
        let merchants = wish.merchants.as_deref();
        let candidates = self.store.would_message(platform, &policies, merchants, CANDIDATES_MAX).await?;
        let columns = ["check_name", "appid", "counterpart", "nickname", "would_be_messaged", "reason", "not_before"];
        let rows = candidates.into_iter().map(|candidate| {
            let (message, reason, until) = match candidate.decision {
                Permission::Granted => ("yes", None, None),
                Permission::Later { reason, until } => ("no", Some(reason.to_owned()), Some(until.to_rfc3339())),
                Permission::No { reason } => ("no", Some(reason.to_owned()), None),
            };
            vec![
                Some(candidate.check.name().to_owned()),
                Some(candidate.appid),
                Some(candidate.counterpart),
                candidate.nickname,
                Some(message.to_owned()),
                reason,
                until,
            ]
        });
        Ok(Table {
            title: Some("who would be messaged now, and who not".to_owned()),
            columns: columns.into_iter().map(|name| Column::new(name, Kind::Text)).collect(),
            rows: rows.collect(),
        })
    }

    /// Merchants whose kind is not known would be left out of every check: WeChat is asked about them first.
    async fn know_everybody(&self, ready: &Ready) -> Result<(), AppError> {
        let (merchants, unknown) = self.store.count_merchants(ready.platform.id).await?;
        if merchants == 0 {
            return Err(AppError::Input(
                "there are no merchants yet: run `wxpatrol sync`, or `wxpatrol import FILE`".to_owned(),
            ));
        }
        if unknown > 0 && !self.can_sync() {
            eprintln!(
                "{unknown} merchants are of unknown kind and in no check's total: name their kind in `wxpatrol import`, or \
                 set WXPATROL_COMPONENT_TOKEN_URL so that WeChat can be asked"
            );
        } else if unknown > 0 {
            eprintln!("{unknown} merchants are of unknown kind; asking WeChat about them first");
            match self.syncer(ready).learn_kinds().await {
                Ok(learnt) if learnt.failed == 0 => {}
                Ok(learnt) => eprintln!(
                    "{} merchants are still of unknown kind and in no check's total; `wxpatrol report attention` names them",
                    learnt.failed
                ),
                Err(error) if error.halts() => return Err(merchants::said(error)),
                Err(error) => eprintln!("not all of them could be learnt: {error}; they are in the report attention"),
            }
        }
        Ok(())
    }

    fn conclude(
        &self,
        ended: Option<(RunState, Option<String>)>,
        coverage: &[CoverageRow],
        fail_on: Option<FailOn>,
    ) -> Result<Exit, AppError> {
        let (state, reason) = ended.unwrap_or((RunState::Interrupted, None));
        let reason = reason.unwrap_or_default();
        match state {
            RunState::Complete => {}
            RunState::Halted => return Err(AppError::Halted(reason)),
            RunState::Open | RunState::Interrupted | RunState::Skipped => {
                return Err(AppError::Incomplete(format!("the run was interrupted: {reason}")));
            }
        }
        if let Some(row) = coverage.iter().find(|row| !row.adds_up()) {
            return Err(AppError::Incomplete(format!(
                "the coverage of {} does not add up to its total of {}; run `wxpatrol --once` again and keep the logs",
                row.check_name, row.total
            )));
        }
        if fail_on == Some(FailOn::Failed) && coverage.iter().any(|row| row.failed > 0) {
            return Err(AppError::Incomplete("some items failed; see `wxpatrol report failures`".to_owned()));
        }
        Ok(Exit::Done)
    }
}

fn sorted(checks: &[CheckName]) -> Vec<CheckName> {
    CheckName::ALL.iter().copied().filter(|check| checks.contains(check)).collect()
}

/// Works until the run is closed, with a progress line where a person looks on.
pub(super) async fn watched(patrol: &Patrol, run: Uuid) -> Result<Option<(RunState, Option<String>)>, AppError> {
    let work = patrol.work(Until::RunCloses(run));
    if !std::io::stderr().is_terminal() {
        return work.await.map_err(unfinished);
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    let began = Instant::now();
    tokio::pin!(work);
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            _ = beat.tick() => {
                bar.set_message(line(patrol.progress(), began.elapsed()));
                bar.tick();
            }
        }
    };
    bar.finish_and_clear();
    ended.map_err(unfinished)
}

/// Postgres went away when the run had begun.
fn unfinished(error: StoreError) -> AppError {
    AppError::Incomplete(format!("the run could not be followed to its end: {error}; the next run goes on"))
}

/// Done of eligible for each check, the rate, and what it waits for.
fn line(progress: &Progress, elapsed: Duration) -> String {
    let checks = progress.checks();
    let recorded: u64 = checks.iter().map(|check| check.recorded).sum();
    let mut parts: Vec<String> =
        checks.iter().map(|check| format!("{} {}/{}", check.check, check.recorded, check.eligible)).collect();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    parts.push(format!("{:.0}/s", recorded as f64 / elapsed.as_secs_f64().max(0.001)));
    if progress.database_away() {
        parts.push("waits for Postgres".to_owned());
    } else if let Some(what) = progress.waiting() {
        parts.push(format!("waits: {what}"));
    }
    parts.join("  ")
}

/// The coverage of a run, for people and programs.
#[must_use]
pub fn coverage_table(run: Uuid, coverage: &[CoverageRow]) -> Table {
    let columns = [
        ("check_name", Kind::Text),
        ("total", Kind::Number),
        ("done", Kind::Number),
        ("fresh", Kind::Number),
        ("skipped", Kind::Number),
        ("deferred", Kind::Number),
        ("failed", Kind::Number),
        ("adds_up", Kind::Boolean),
        ("reasons", Kind::Json),
    ];
    let rows = coverage.iter().map(|row| {
        vec![
            Some(row.check_name.clone()),
            Some(row.total.to_string()),
            Some(row.done.to_string()),
            Some(row.fresh.to_string()),
            Some(row.skipped.to_string()),
            Some(row.deferred.to_string()),
            Some(row.failed.to_string()),
            Some(row.adds_up().to_string()),
            Some(row.reasons.0.to_string()),
        ]
    });
    Table {
        title: Some(format!("coverage of run {run}")),
        columns: columns.into_iter().map(|(name, kind)| Column::new(name, kind)).collect(),
        rows: rows.collect(),
    }
}
