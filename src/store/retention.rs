//! Retention: what is long past is deleted, a bounded batch a statement, so that no lock and no transaction lasts long.

use super::{Store, StoreError};

/// How long rows are kept, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Runs and their coverage.
    pub runs_days: i32,
    /// Failed calls.
    pub failures_days: i32,
    /// Callback changes, intervals that ended, and what was said about holds.
    pub changes_days: i32,
    /// Intents: proof that nobody was messaged too often. The statement never deletes one younger than a year.
    pub intents_days: i32,
}

impl Default for Keep {
    /// Runs and intents a year and a month, so that a month can be compared with the same one of the year before; failed
    /// calls as long as WeChat answers about a rid; changes two years.
    fn default() -> Self {
        Self { runs_days: 400, failures_days: 7, changes_days: 730, intents_days: 400 }
    }
}

/// Authorization events that were settled.
const EVENTS_DAYS: i32 = 90;
/// Signatures of taken pushes: the receiver refuses older ones by their timestamp, twenty minutes apart at most.
const PUSHES_HOURS: i32 = 1;
/// Day counts of messages and calls: only today's decides anything.
const DAY_COUNTS_DAYS: i32 = 90;
/// What WeChat said about quotas: only the last two days' answers decide anything.
const QUOTAS_DAYS: i32 = 90;
/// Closures of merchants' endpoints, after their end.
const MERCHANT_CLOSURES_DAYS: i32 = 1;

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
    /// What was said about holds.
    pub hold_events: u64,
    /// Authorization events.
    pub events: u64,
    /// Signatures of taken pushes.
    pub pushes: u64,
    /// What WeChat said about quotas, and closures of merchants' endpoints that ended.
    pub quotas: u64,
}

impl Store {
    /// Deletes what is past its retention. May be repeated and stopped at any moment, and by several processes at once.
    ///
    /// # Errors
    /// Postgres did not answer: the batches before are deleted.
    pub async fn retire(&self, keep: Keep) -> Result<Retired, StoreError> {
        let changes = self.retire_batches(include_str!("sql/retire_callback_changes.sql"), keep.changes_days).await?;
        let intervals =
            self.retire_batches(include_str!("sql/retire_callback_snapshots.sql"), keep.changes_days).await?;
        let messages = self.retire_batches(include_str!("sql/retire_message_days.sql"), DAY_COUNTS_DAYS).await?;
        let calls = self.retire_batches(include_str!("sql/retire_call_days.sql"), DAY_COUNTS_DAYS).await?;
        let quotas = self.retire_batches(include_str!("sql/retire_quotas.sql"), QUOTAS_DAYS).await?;
        let closures = include_str!("sql/retire_merchant_closures.sql");
        let closures = self.retire_batches(closures, MERCHANT_CLOSURES_DAYS).await?;
        Ok(Retired {
            runs: self.retire_batches(include_str!("sql/retire_runs.sql"), keep.runs_days).await?,
            failures: self.retire_batches(include_str!("sql/retire_failures.sql"), keep.failures_days).await?,
            changes: changes + intervals,
            intents: self.retire_batches(include_str!("sql/retire_intents.sql"), keep.intents_days).await?,
            day_counts: messages + calls,
            hold_events: self.retire_batches(include_str!("sql/retire_hold_events.sql"), keep.changes_days).await?,
            events: self.retire_batches(include_str!("sql/retire_events.sql"), EVENTS_DAYS).await?,
            pushes: self.retire_batches(include_str!("sql/retire_pushes.sql"), PUSHES_HOURS).await?,
            quotas: quotas + closures,
        })
    }

    async fn retire_batches(&self, statement: &'static str, age: i32) -> Result<u64, StoreError> {
        let mut retired = 0;
        loop {
            let rows = sqlx::query(statement).bind(age).bind(BATCH).execute(&self.pool).await?.rows_affected();
            retired += rows;
            if rows < BATCH.unsigned_abs() {
                return Ok(retired);
            }
        }
    }
}
