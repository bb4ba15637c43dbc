//! The end of a run: counted once, in the transaction that closes it, and its coverage kept with it.

use serde_json::Value;
use sqlx::{FromRow, PgExecutor, types::Json};
use uuid::Uuid;

use super::{
    Store, StoreError,
    runs::{OpenRun, RunState, Shut, names},
};
use crate::domain::{CheckName, PlatformId, check::Unit};

/// One check of a run's coverage.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct CoverageRow {
    /// The check.
    pub check_name: String,
    /// Items in scope, counted from merchant and wish.
    pub total: i64,
    /// Recorded well since the run's start.
    pub done: i64,
    /// Not due.
    pub fresh: i64,
    /// Nothing to be done, and why.
    pub skipped: i64,
    /// Waits for a time.
    pub deferred: i64,
    /// Could not be settled.
    pub failed: i64,
    /// Counts by bucket and reason.
    pub reasons: Json<Value>,
}

impl CoverageRow {
    /// Whether the buckets add up to the total.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.total == self.done + self.fresh + self.skipped + self.deferred + self.failed
    }
}

/// How a run is to be closed.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'a> {
    /// The state that it ends in.
    pub state: RunState,
    /// Why, for a person.
    pub reason: Option<&'a str>,
    /// Why due items are left, in one word of the coverage; `None`: for reasons of their own.
    pub left_because: Option<&'a str>,
    /// The checks that are shut.
    pub shut: &'a [Shut],
    /// Close it only if what is counted adds up.
    pub sure: bool,
}

/// What became of a run that was to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Closed {
    /// It is closed.
    Yes,
    /// Another process closed it first.
    ByAnother,
    /// Something became known between the last planning and the count, and has no items yet: plan and close again.
    NotYet,
}

/// The rows of a run's coverage, in the order of checks.
async fn coverage_of<'a>(reads: impl PgExecutor<'a>, run: Uuid) -> Result<Vec<CoverageRow>, sqlx::Error> {
    let mut rows: Vec<CoverageRow> =
        sqlx::query_as(include_str!("sql/coverage_rows.sql")).bind(run).fetch_all(reads).await?;
    rows.sort_by_key(|row| row.check_name.parse::<CheckName>().ok());
    Ok(rows)
}

/// What a check counts, by its name in `run_scope`.
fn unit(check: CheckName) -> &'static str {
    match check.unit() {
        Unit::MiniProgram => "mini_program",
        Unit::AccountWithWish => "account_with_wish",
        Unit::Wish => "wish",
    }
}

impl Store {
    /// Counts and closes a run. What a halted run of a schedule left is another run's from then on, which waits until the platform
    /// works.
    ///
    /// # Errors
    /// Postgres did not answer: the run is open as before.
    pub async fn close_run(
        &self,
        platform: PlatformId,
        run: &OpenRun,
        closing: Closing<'_>,
    ) -> Result<Closed, StoreError> {
        let Closing { state, reason, left_because, shut, sure } = closing;
        // A run over all merchants meets most rows of its tables: going through them once costs less than a look-up for
        // each. Wishes are few beside the items of all merchants, so a run over them alone looks its items up.
        let of_all = run.merchants.is_none() && run.checks.iter().any(|check| check.unit() == Unit::MiniProgram);
        let mut transaction = match of_all {
            true => self.pool.begin_with(include_str!("sql/coverage_of_all.sql")).await?,
            false => self.pool.begin().await?,
        };
        let causes: Vec<Option<&Shut>> =
            run.checks.iter().map(|check| shut.iter().find(|shut| shut.check == *check)).collect();
        sqlx::query(include_str!("sql/coverage_write.sql"))
            .bind(run.run_id)
            .bind(names(&run.checks))
            .bind(run.checks.iter().map(|check| unit(*check)).collect::<Vec<_>>())
            .bind(
                causes.iter().map(|cause| cause.map(|shut| shut.reason.as_str()).or(left_because)).collect::<Vec<_>>(),
            )
            .bind(causes.iter().map(|cause| cause.is_some_and(|shut| shut.held)).collect::<Vec<_>>())
            .bind(of_all)
            .execute(&mut *transaction)
            .await?;
        let halted = state == RunState::Halted;
        let state: &'static str = state.into();
        let closed = sqlx::query(include_str!("sql/run_close.sql"))
            .bind(run.run_id)
            .bind(state)
            .bind(reason)
            .execute(&mut *transaction)
            .await?;
        if closed.rows_affected() == 0 {
            return Ok(Closed::ByAnother);
        }
        if sure && !coverage_of(&mut *transaction, run.run_id).await?.iter().all(CoverageRow::adds_up) {
            transaction.rollback().await?;
            return Ok(Closed::NotYet);
        }
        if halted && run.schedule.is_some() {
            // At once: the platform may work again by now, and nobody would look for what this run left.
            sqlx::query(include_str!("sql/run_follow.sql")).bind(platform).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Closed::Yes)
    }

    /// The coverage of a run, in the order of the checks.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn coverage(&self, run: Uuid) -> Result<Vec<CoverageRow>, StoreError> {
        Ok(coverage_of(&self.pool, run).await?)
    }
}
