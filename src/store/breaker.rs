//! The breaker of a platform: a fault of the whole platform stops every process until one probe succeeds.

use std::time::Duration;

use sqlx::FromRow;

use super::{Store, StoreError};
use crate::domain::PlatformId;

/// The state of a platform's breaker.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Breaker {
    /// Whether it is open.
    pub halted: bool,
    /// WeChat's code, when one was the cause.
    pub halt_errcode: Option<i64>,
    /// What to do about it.
    pub halt_reason: Option<String>,
    probe_secs: Option<f64>,
    /// Whether a process may be trying one merchant now.
    pub probing: bool,
}

impl Breaker {
    /// How long until one merchant may be tried.
    #[must_use]
    pub fn probe_in(&self) -> Duration {
        Duration::try_from_secs_f64(self.probe_secs.unwrap_or(0.0)).unwrap_or_default()
    }
}

impl Store {
    /// The breaker's state.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn breaker(&self, platform: PlatformId) -> Result<Breaker, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/breaker.sql")).bind(platform).fetch_one(&self.pool).await?)
    }

    /// Whether some item was answered in a run of the last day.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn worked_lately(&self, platform: PlatformId) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(include_str!("sql/worked_lately.sql")).bind(platform).fetch_one(&self.pool).await?)
    }

    /// How many merchants must say that the platform does not work: so many as the bound, or, where fewer are looked at, those who
    /// can be called now.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn voices_needed(&self, platform: PlatformId, bound: u32) -> Result<usize, StoreError> {
        let query = sqlx::query_scalar(include_str!("sql/voices_needed.sql"));
        let needed: i64 = query.bind(platform).bind(i64::from(bound)).fetch_one(&self.pool).await?;
        Ok(usize::try_from(needed).unwrap_or(usize::MAX))
    }

    /// Opens the breaker, or keeps it open: for longer after a `probe` that failed, and no longer than it was when another
    /// process merely says the same. May be repeated, but for a probe:
    /// each that failed doubles the wait for the next, up to half an hour.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn open_breaker(
        &self,
        platform: PlatformId,
        errcode: Option<i64>,
        reason: &str,
        probe: bool,
    ) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/breaker_open.sql"))
            .bind(platform)
            .bind(errcode)
            .bind(reason)
            .bind(probe)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Has a halted platform tried at once: a process takes it up, with what may have been mended. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn hasten_probe(&self, platform: PlatformId) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/breaker_hasten.sql")).bind(platform).execute(&self.pool).await?;
        Ok(())
    }

    /// Takes the right to try one merchant; `at_once`: a person asks for it now. `false`: the breaker is closed, it is not
    /// time, nobody is known who could be tried, or another process has the right. Whoever has it and says nothing more loses it
    /// after a minute.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn take_probe(&self, platform: PlatformId, at_once: bool) -> Result<bool, StoreError> {
        let taken =
            sqlx::query(include_str!("sql/breaker_probe.sql")).bind(platform).bind(at_once).execute(&self.pool).await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Closes the breaker after a call that succeeded; `true` when it was open. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn close_breaker(&self, platform: PlatformId) -> Result<bool, StoreError> {
        let closed = sqlx::query(include_str!("sql/breaker_close.sql")).bind(platform).execute(&self.pool).await?;
        Ok(closed.rows_affected() == 1)
    }
}
