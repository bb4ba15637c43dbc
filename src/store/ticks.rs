//! Ticks: each is decided on once over all processes and through restarts. The row of its schedule is locked meanwhile, and
//! its mark, up to which everything is decided, only moves on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Store, StoreError,
    pool::Transaction,
    runs::{self, RunState},
};
use crate::domain::{CheckName, PlatformId};

/// Up to where the ticks of a schedule are decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// This instant included.
    pub heard_until: DateTime<Utc>,
}

/// One tick, and the earlier ones for which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickRow {
    /// Its instant.
    pub fire_at: DateTime<Utc>,
    /// Whether it is to run; `false`: it is recorded as missed.
    pub runs: bool,
    /// Earlier ticks that were missed and for which it stands.
    pub missed_ticks: i32,
    /// The first of those.
    pub missed_since: Option<DateTime<Utc>>,
}

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It is this run, which is open.
    Begun(Uuid),
    /// It is this run, which opens when those before it have ended.
    Waiting(Uuid),
    /// It is recorded as skipped, with the reason: paused, or an overlap.
    Skipped,
    /// It is recorded as missed.
    Missed,
    /// Its row was there before.
    Known,
}

/// What became of ticks that one process wanted to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Another process moved the mark before, to here; nothing was done.
    Taken(Mark),
    /// Everything is written down.
    Made {
        /// The mark is here now.
        mark: Mark,
        /// In the order of the rows.
        became: Vec<Became>,
    },
}

/// A run that a process has just begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The run.
    pub run_id: Uuid,
    /// Its schedule.
    pub schedule: String,
}

/// How a schedule of a platform stands.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct ScheduleFacts {
    /// The component's appid; `None`: there is no platform yet.
    pub platform: Option<String>,
    /// The schedule.
    pub schedule: String,
    /// The instant of the newest tick.
    pub fire_at: Option<DateTime<Utc>>,
    /// The state of its run.
    pub state: Option<String>,
    /// Why it is skipped, missed, waits, or ended unusually.
    pub reason: Option<String>,
    /// Earlier ticks that were missed and for which it stands.
    pub missed_ticks: Option<i32>,
    /// How many seconds after its instant the newest tick that has begun was begun.
    pub lag_secs: Option<f64>,
    /// Ticks that wait for the run before them.
    pub waiting: i64,
    /// What is paused: `schedule`, or `check`.
    pub paused: Option<String>,
    /// Since when.
    pub paused_since: Option<DateTime<Utc>>,
    /// Until when; `None`: until an operator resumes it.
    pub paused_until: Option<DateTime<Utc>>,
    /// Why, and who paused it.
    pub pause_note: Option<String>,
}

impl Store {
    /// The mark of a schedule, written down at its first start: its newest tick that has a row, or now. A schedule that
    /// fires at other instants than before begins anew: what came before was no tick of it. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn mark(&self, platform: PlatformId, schedule: &str, cadence: &str) -> Result<Mark, StoreError> {
        let heard_until = sqlx::query_scalar(include_str!("sql/schedule_known.sql"))
            .bind(platform)
            .bind(schedule)
            .bind(cadence)
            .fetch_one(&self.pool)
            .await?;
        Ok(Mark { heard_until })
    }

    /// Writes down what becomes of ticks after `mark`, oldest first and each later than the mark, and moves the mark to the
    /// last of them. Nothing is done when the mark is elsewhere. At most `waiting_max` ticks wait behind an open run.
    /// Any number of processes may say the same: one of them decides.
    ///
    /// # Errors
    /// Postgres did not answer: all or nothing is written down.
    #[expect(clippy::too_many_arguments, reason = "one tick has that many sides, and one caller names them all")]
    pub async fn decide(
        &self,
        platform: PlatformId,
        schedule: &str,
        mark: Mark,
        rows: &[TickRow],
        checks: &[CheckName],
        waiting_max: u32,
        deadline: Duration,
    ) -> Result<Decision, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let now_at = lock(&mut transaction, platform, schedule).await?.unwrap_or(mark);
        let Some(last) = rows.last().filter(|_| now_at == mark) else { return Ok(Decision::Taken(now_at)) };
        let mut became = Vec::with_capacity(rows.len());
        for row in rows {
            let run = Uuid::now_v7();
            let state: Option<String> = sqlx::query_scalar(include_str!("sql/run_tick.sql"))
                .bind(run)
                .bind(platform)
                .bind(schedule)
                .bind(row.fire_at)
                .bind(runs::names(checks))
                .bind(deadline.as_secs_f64())
                .bind(self.process_id)
                .bind(row.runs)
                .bind(i64::from(waiting_max))
                .bind(row.missed_ticks)
                .bind(row.missed_since)
                .fetch_optional(&mut *transaction)
                .await?;
            became.push(match state.as_deref().map(str::parse) {
                None => Became::Known,
                Some(Ok(RunState::Open)) => Became::Begun(run),
                Some(Ok(RunState::Buffered)) => Became::Waiting(run),
                Some(Ok(RunState::Missed)) => Became::Missed,
                Some(Ok(_) | Err(_)) => Became::Skipped,
            });
        }
        let mark = Mark { heard_until: last.fire_at };
        sqlx::query(include_str!("sql/schedule_heard.sql"))
            .bind(platform)
            .bind(schedule)
            .bind(mark.heard_until)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Decision::Made { mark, became })
    }

    /// Begins the oldest waiting tick of each schedule that is `on`, has no open run and is not paused. May be repeated, by any
    /// number of processes: one of them begins it.
    ///
    /// # Errors
    /// Postgres did not answer; what was begun before is open and found by whoever looks for open runs, a sync by
    /// [`Self::begun_sync`].
    pub async fn begin_waiting(&self, platform: PlatformId, on: &[&str]) -> Result<Vec<Begun>, StoreError> {
        let ready: Vec<String> = sqlx::query_scalar(include_str!("sql/ticks_waiting.sql"))
            .bind(platform)
            .bind(on)
            .fetch_all(&self.pool)
            .await?;
        let mut begun = Vec::new();
        for schedule in ready {
            let mut transaction = self.pool.begin().await?;
            lock(&mut transaction, platform, &schedule).await?;
            let run: Option<Uuid> = sqlx::query_scalar(include_str!("sql/run_begin_waiting.sql"))
                .bind(platform)
                .bind(&schedule)
                .bind(self.process_id)
                .fetch_optional(&mut *transaction)
                .await?;
            transaction.commit().await?;
            begun.extend(run.map(|run_id| Begun { run_id, schedule }));
        }
        Ok(begun)
    }

    /// Begins a sync that waits for no tick, when the platform was never synced to the end, or is halted and nothing else tries
    /// it. `true`: there will be none any more, unless the platform is halted. May be repeated, by any number of processes: one
    /// of them begins it. Another try comes after a minute at the earliest, later after ten; of a halted platform, when it may be
    /// tried.
    ///
    /// # Errors
    /// Postgres did not answer; a run that was begun all the same is found by [`Self::begun_sync`].
    pub async fn begin_first_sync(
        &self,
        platform: PlatformId,
        deadline: Duration,
    ) -> Result<(bool, Option<Begun>), StoreError> {
        const SCHEDULE: &str = "sync";
        let mut transaction = self.pool.begin().await?;
        // Its row is there once the schedule was heard.
        if lock(&mut transaction, platform, SCHEDULE).await?.is_none() {
            return Ok((false, None));
        }
        let (needless, run_id): (bool, Option<Uuid>) = sqlx::query_as(include_str!("sql/run_first_sync.sql"))
            .bind(Uuid::now_v7())
            .bind(platform)
            .bind(deadline.as_secs_f64())
            .bind(self.process_id)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((needless, run_id.map(|run_id| Begun { run_id, schedule: SCHEDULE.to_owned() })))
    }

    /// Notes that a sync of the platform's merchants came to its end. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn note_synced(&self, platform: PlatformId) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/platform_synced.sql")).bind(platform).execute(&self.pool).await?;
        Ok(())
    }

    /// The open sync of a platform that this process has begun. Where it does none, the answer to its beginning or to its end
    /// was lost, and as long as this process lives nobody else takes it up.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn begun_sync(&self, platform: PlatformId) -> Result<Option<Begun>, StoreError> {
        let begun: Option<(Uuid, String)> = sqlx::query_as(include_str!("sql/run_of_process.sql"))
            .bind(platform)
            .bind(self.process_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(begun.map(|(run_id, schedule)| Begun { run_id, schedule }))
    }

    /// Closes a run that has no coverage, by the process that did its work. `false`: it was closed before. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: the run is open yet, and [`Self::begun_sync`] finds it.
    pub async fn end_run(&self, run: Uuid, state: RunState, reason: Option<&str>) -> Result<bool, StoreError> {
        let state: &'static str = state.into();
        let closed = sqlx::query(include_str!("sql/run_close.sql"))
            .bind(run)
            .bind(state)
            .bind(reason)
            .execute(&self.pool)
            .await?;
        Ok(closed.rows_affected() > 0)
    }

    /// How these schedules stand, for each platform.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn schedule_facts(&self, schedules: &[&str]) -> Result<Vec<ScheduleFacts>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/schedule_facts.sql")).bind(schedules).fetch_all(&self.pool).await?)
    }
}

/// Locks a schedule until the transaction ends, and answers where its mark is.
async fn lock(transaction: &mut Transaction, platform: PlatformId, schedule: &str) -> Result<Option<Mark>, StoreError> {
    let heard_until: Option<DateTime<Utc>> = sqlx::query_scalar(include_str!("sql/schedule_lock.sql"))
        .bind(platform)
        .bind(schedule)
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(heard_until.map(|heard_until| Mark { heard_until }))
}
