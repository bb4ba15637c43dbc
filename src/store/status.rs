//! How things stand now, in counts, for `wxpatrol status`.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError};

/// A platform.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct PlatformStatus {
    /// The component's appid.
    pub platform: String,
    /// Seconds since its verify ticket was stored; `None`: there is none.
    pub ticket_age_secs: Option<f64>,
    /// When its breaker opened; `None`: it is closed.
    pub halted_at: Option<DateTime<Utc>>,
    /// Why.
    pub halt_reason: Option<String>,
    /// Rows in the view `attention`, counted up to a thousand.
    pub attention: i64,
    /// Whether it is patrolled at all.
    pub enabled: bool,
}

/// The merchants of one kind.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct KindStatus {
    /// The component's appid.
    pub platform: String,
    /// The kind.
    pub kind: String,
    /// Those that are authorized.
    pub authorized: i64,
    /// Those that took it back.
    pub withdrawn: i64,
}

/// The items of one check.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CheckStatus {
    /// The component's appid.
    pub platform: String,
    /// The check.
    pub check_name: String,
    /// All of them.
    pub items: i64,
    /// Due now, of the ten thousand longest due ones.
    pub due: i64,
    /// Since when the oldest of those is due.
    pub due_since: Option<DateTime<Utc>>,
    /// Leased, of those.
    pub leased: i64,
    /// Held with their merchant, counted up to ten thousand.
    pub held: i64,
}

/// The newest tick of a schedule.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct ScheduleStatus {
    /// The component's appid.
    pub platform: String,
    /// The schedule.
    pub schedule: String,
    /// The instant of its newest tick.
    pub fire_at: DateTime<Utc>,
    /// Seconds since.
    pub age_secs: f64,
    /// The state of that run.
    pub state: String,
    /// Why it ended unusually.
    pub reason: Option<String>,
}

impl Store {
    /// Every platform.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn platform_status(&self) -> Result<Vec<PlatformStatus>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/status_platforms.sql")).fetch_all(&self.pool).await?)
    }

    /// The merchants by kind.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn kind_status(&self) -> Result<Vec<KindStatus>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/status_merchants.sql")).fetch_all(&self.pool).await?)
    }

    /// The items by check.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn check_status(&self) -> Result<Vec<CheckStatus>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/status_checks.sql")).fetch_all(&self.pool).await?)
    }

    /// The newest tick of each schedule of each platform.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn schedule_status(&self) -> Result<Vec<ScheduleStatus>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/status_schedules.sql")).fetch_all(&self.pool).await?)
    }
}
