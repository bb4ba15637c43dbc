//! Runs: opened by a tick or by hand, worked on by every process, until nothing is left.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use strum::{EnumString, IntoStaticStr};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::{CheckName, PlatformId};

/// What a run by hand is to do.
#[derive(Debug, Clone)]
pub struct RunWish {
    /// The checks.
    pub checks: Vec<CheckName>,
    /// Only these merchants; `None`: all.
    pub merchants: Option<Vec<String>>,
    /// Make due what is not.
    pub all: bool,
    /// Message nobody.
    pub dry_run: bool,
    /// The run is closed as interrupted after this.
    pub deadline: Duration,
}

/// An open run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// Its id.
    pub run_id: Uuid,
    /// Its schedule; `None`: by hand.
    pub schedule: Option<String>,
    /// Its checks.
    pub checks: Vec<CheckName>,
    /// Only these merchants; `None`: all.
    pub merchants: Option<Vec<String>>,
    /// Whether it makes due what is not.
    pub all: bool,
    /// Whether it messages nobody.
    pub dry_run: bool,
    /// Whether its planning is complete.
    pub planned: bool,
    /// For how long its deadline is over; `None`: it is not.
    pub overdue: Option<Duration>,
    /// Whether one process alone does its work, and closes it: a sync.
    pub of_one_process: bool,
    /// Whether that process is gone.
    pub abandoned: bool,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RunState {
    /// Not ended.
    Open,
    /// Nothing in scope is left to do now.
    Complete,
    /// Ended early.
    Interrupted,
    /// Ended by a fault of the whole platform.
    Halted,
    /// Its tick was not run: the schedule was paused, or its last run still open.
    Skipped,
    /// Its tick waits for the run before it.
    Buffered,
    /// No process heard its tick in time.
    Missed,
}

/// A check that can do nothing for more than two minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    /// The check.
    pub check: CheckName,
    /// In one word of the coverage.
    pub reason: String,
    /// Whether an operator's hold is the cause.
    pub held: bool,
    /// Until when; `None`: until an operator resumes it.
    pub until: Option<DateTime<Utc>>,
}

/// What a run would have to do for one check.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct DueCount {
    /// The check.
    pub check_name: String,
    /// Items that are due.
    pub items: i64,
    /// Merchants among them that need a fresh token.
    pub refreshes: i64,
}

#[derive(FromRow)]
struct OpenRunRow {
    run_id: Uuid,
    schedule: Option<String>,
    checks: Vec<String>,
    merchants: Option<Vec<String>>,
    all_due: bool,
    dry_run: bool,
    planned: bool,
    overdue_secs: Option<f64>,
    of_one_process: bool,
    abandoned: bool,
}

impl From<OpenRunRow> for OpenRun {
    fn from(row: OpenRunRow) -> Self {
        Self {
            run_id: row.run_id,
            schedule: row.schedule,
            checks: known_checks(&row.checks),
            merchants: row.merchants,
            all: row.all_due,
            dry_run: row.dry_run,
            planned: row.planned,
            overdue: row.overdue_secs.map(|secs| Duration::try_from_secs_f64(secs).unwrap_or_default()),
            of_one_process: row.of_one_process,
            abandoned: row.abandoned,
        }
    }
}

/// Checks that this binary does not know (a newer one opened the run) are that binary's work.
fn known_checks(names: &[String]) -> Vec<CheckName> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

pub(super) fn names(checks: &[CheckName]) -> Vec<&'static str> {
    checks.iter().map(|check| check.name()).collect()
}

/// For each check its gate, the check whose item carries the merchant's limit.
pub(super) fn gates<'a>(checks: impl IntoIterator<Item = &'a CheckName>) -> Vec<Option<&'static str>> {
    checks.into_iter().map(|check| check.gate().map(|gate| gate.name())).collect()
}

impl Store {
    /// Opens a run by hand.
    ///
    /// # Errors
    /// Postgres did not answer. Not to be repeated: each call is a run.
    pub async fn open_run(&self, platform: PlatformId, wish: &RunWish) -> Result<Uuid, StoreError> {
        let run = Uuid::now_v7();
        sqlx::query(include_str!("sql/run_open.sql"))
            .bind(run)
            .bind(platform)
            .bind(names(&wish.checks))
            .bind(&wish.merchants)
            .bind(wish.all)
            .bind(wish.dry_run)
            .bind(wish.deadline.as_secs_f64())
            .bind(self.process_id)
            .execute(&self.pool)
            .await?;
        Ok(run)
    }

    /// Every open run of a platform, oldest first.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn open_runs(&self, platform: PlatformId) -> Result<Vec<OpenRun>, StoreError> {
        let rows: Vec<OpenRunRow> =
            sqlx::query_as(include_str!("sql/runs_open.sql")).bind(platform).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(OpenRun::from).collect())
    }

    /// The runs of a halted platform that wait until it works again, of the schedules that are `on`, oldest first; none while
    /// it works.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn waiting_runs(&self, platform: PlatformId, on: &[String]) -> Result<Vec<OpenRun>, StoreError> {
        let rows: Vec<OpenRunRow> =
            sqlx::query_as(include_str!("sql/runs_waiting.sql")).bind(platform).bind(on).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(OpenRun::from).collect())
    }

    /// Makes due what is neither leased nor recorded since the run's start, in batches. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer; the batches before hold.
    pub async fn make_due(&self, run: Uuid) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let last: Option<String> = sqlx::query_scalar(include_str!("sql/make_due.sql"))
                .bind(run)
                .bind(&after)
                .bind(2_000_i64)
                .fetch_one(&self.pool)
                .await?;
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Notes that a run is planned. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn mark_planned(&self, run: Uuid) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/run_planned.sql")).bind(run).execute(&self.pool).await?;
        Ok(())
    }

    /// The checks that can do nothing for more than two minutes.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn shut_checks(&self, platform: PlatformId) -> Result<Vec<Shut>, StoreError> {
        let rows: Vec<(String, String, bool, Option<DateTime<Utc>>)> =
            sqlx::query_as(include_str!("sql/checks_shut.sql"))
                .bind(platform)
                .bind(names(CheckName::ALL))
                .bind(CheckName::ALL.iter().map(|check| check.endpoint().name()).collect::<Vec<_>>())
                .fetch_all(&self.pool)
                .await?;
        let shut = rows
            .into_iter()
            .filter_map(|(check, reason, held, until)| Some(Shut { check: check.parse().ok()?, reason, held, until }));
        Ok(shut.collect())
    }

    /// Whether a run over `checks` has work left.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn unfinished(
        &self,
        platform: PlatformId,
        checks: &[CheckName],
        merchants: Option<&[String]>,
    ) -> Result<bool, StoreError> {
        let unfinished = match merchants {
            None => sqlx::query_scalar(include_str!("sql/run_unfinished.sql"))
                .bind(platform)
                .bind(names(checks))
                .bind(gates(checks)),
            Some(merchants) => sqlx::query_scalar(include_str!("sql/run_unfinished_of.sql"))
                .bind(platform)
                .bind(names(checks))
                .bind(merchants)
                .bind(gates(checks)),
        };
        Ok(unfinished.fetch_one(&self.pool).await?)
    }

    /// How a run stands, and why.
    ///
    /// # Errors
    /// Postgres did not answer, or there is no such run.
    pub async fn run_state(&self, run: Uuid) -> Result<(RunState, Option<String>), StoreError> {
        let (state, reason): (String, Option<String>) =
            sqlx::query_as(include_str!("sql/run_summary.sql")).bind(run).fetch_one(&self.pool).await?;
        let known =
            state.parse().map_err(|_| StoreError::Inconsistent(format!("run {run} has the unknown state {state}")))?;
        Ok((known, reason))
    }

    /// What a run would have to do now.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn due_counts(
        &self,
        platform: PlatformId,
        checks: &[CheckName],
        merchants: Option<&[String]>,
    ) -> Result<Vec<DueCount>, StoreError> {
        let counts = sqlx::query_as(include_str!("sql/due_counts.sql"))
            .bind(platform)
            .bind(names(checks))
            .bind(merchants)
            .fetch_all(&self.pool)
            .await?;
        Ok(counts)
    }
}
