//! Retention: what is long past is deleted, a bounded batch a statement, so that no lock and no transaction lasts long.

use super::{Store, StoreError};

/// Runs and their coverage: a year and a month, so that a month can be compared with the same one of the year before.
pub const RUNS_DAYS: i32 = 400;
/// Failed calls: WeChat answers about a rid for seven days.
pub const FAILURES_DAYS: i32 = 7;
/// Callback changes, and intervals that ended.
pub const CHANGES_DAYS: i32 = 730;
/// Intents: proof that nobody was messaged too often. The statement never deletes one younger than a year.
pub const INTENTS_DAYS: i32 = 400;
/// Day counts of messages and calls: only today's decides anything.
pub const DAY_COUNTS_DAYS: i32 = 90;

/// Rows deleted by one statement, at most.
const BATCH: i64 = 5_000;

/// What was deleted, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// Runs, each with its coverage.
    pub runs: u64,
    /// Failed calls.
    pub failures: u64,
    /// Callback changes and ended intervals.
    pub changes: u64,
    /// Intents.
    pub intents: u64,
    /// Day counts.
    pub day_counts: u64,
}

impl Store {
    /// Deletes what is past its retention. May be repeated and stopped at any moment, and by several processes at once.
    ///
    /// # Errors
    /// Postgres did not answer: the batches before are deleted.
    pub async fn retire(&self) -> Result<Retired, StoreError> {
        let changes = self.retire_batches(include_str!("sql/retire_callback_changes.sql"), CHANGES_DAYS).await?;
        let intervals = self.retire_batches(include_str!("sql/retire_callback_snapshots.sql"), CHANGES_DAYS).await?;
        let messages = self.retire_batches(include_str!("sql/retire_message_days.sql"), DAY_COUNTS_DAYS).await?;
        let calls = self.retire_batches(include_str!("sql/retire_call_days.sql"), DAY_COUNTS_DAYS).await?;
        Ok(Retired {
            runs: self.retire_batches(include_str!("sql/retire_runs.sql"), RUNS_DAYS).await?,
            failures: self.retire_batches(include_str!("sql/retire_failures.sql"), FAILURES_DAYS).await?,
            changes: changes + intervals,
            intents: self.retire_batches(include_str!("sql/retire_intents.sql"), INTENTS_DAYS).await?,
            day_counts: messages + calls,
        })
    }

    async fn retire_batches(&self, statement: &'static str, days: i32) -> Result<u64, StoreError> {
        let mut retired = 0;
        loop {
            let rows = sqlx::query(statement).bind(days).bind(BATCH).execute(&self.pool).await?.rows_affected();
            retired += rows;
            if rows < BATCH.unsigned_abs() {
                return Ok(retired);
            }
        }
    }
}
