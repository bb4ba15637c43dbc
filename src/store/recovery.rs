//! Who reads lost refresh tokens back from WeChat's authorizer list: one process for all, and not all the time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError};
use crate::domain::PlatformId;

/// The right to read the list back, until it is ended or its lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    platform: PlatformId,
    began_at: DateTime<Utc>,
}

/// How it stands when somebody else has the right, or nobody yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// A process is reading.
    UnderWay,
    /// Nobody is. Another reading may begin after this; `None`: no token was lost since the last complete one began.
    Rests(Option<Duration>),
    /// Nobody is, and the last reading came to no end. Another may begin after this.
    Failed(Duration),
}

#[derive(FromRow)]
struct StateRow {
    under_way: bool,
    failed: bool,
    wait_secs: Option<f64>,
}

impl Store {
    /// Takes the right to read the list back, when nobody has it, the last reading began `apart` ago or earlier and ended
    /// three times as long ago as it took, and there is a token that no complete reading has looked for since it was lost
    /// (or the last reading was a day ago). Merchants whose tokens are refused again and again have it read once an hour.
    ///
    /// # Errors
    /// Postgres did not answer; the right may have been taken, and ends with its lease.
    pub async fn take_recovery(
        &self,
        platform: PlatformId,
        apart: Duration,
        lease: Duration,
    ) -> Result<Result<Reading, Elsewhere>, StoreError> {
        let began_at: Option<DateTime<Utc>> = sqlx::query_scalar(include_str!("sql/recovery_take.sql"))
            .bind(platform)
            .bind(apart.as_secs_f64())
            .bind(lease.as_secs_f64())
            .fetch_optional(&self.pool)
            .await?;
        match began_at {
            Some(began_at) => Ok(Ok(Reading { platform, began_at })),
            None => self.recovery_elsewhere(platform, apart).await.map(Err),
        }
    }

    /// How it stands with other processes, for whoever does not read.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn recovery_elsewhere(&self, platform: PlatformId, apart: Duration) -> Result<Elsewhere, StoreError> {
        let state: Option<StateRow> = sqlx::query_as(include_str!("sql/recovery_state.sql"))
            .bind(platform)
            .bind(apart.as_secs_f64())
            .fetch_optional(&self.pool)
            .await?;
        Ok(match state {
            Some(state) if state.under_way => Elsewhere::UnderWay,
            Some(state) => match state.wait_secs.and_then(|secs| Duration::try_from_secs_f64(secs).ok()) {
                Some(wait) if state.failed => Elsewhere::Failed(wait),
                wait => Elsewhere::Rests(wait),
            },
            None => Elsewhere::Rests(None),
        })
    }

    /// Prolongs a reading by `lease` from now, or ends it (`None`). One that another process took over stays as it is.
    ///
    /// # Errors
    /// Postgres did not answer; the lease ends by itself.
    pub async fn prolong_recovery(&self, reading: Reading, lease: Option<Duration>) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/recovery_lease.sql"))
            .bind(reading.platform)
            .bind(reading.began_at)
            .bind(lease.map(|lease| lease.as_secs_f64()))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notes that the authorizer list was read from its beginning, at this moment on Postgres's clock, to its end: tokens
    /// that were lost before and are lost still are lost for good. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: the reading proves nothing.
    pub async fn note_complete_reading(&self, platform: PlatformId, began_at: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/recovery_complete.sql"))
            .bind(platform)
            .bind(began_at)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Lets planning look again at merchants that are recorded as lost although their refresh token is back, and at those
    /// that wait for a reading of the list that has come; answers how many, those that it would look at anyway included.
    /// May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn wake_recovered(&self, platform: PlatformId) -> Result<u64, StoreError> {
        let woken = sqlx::query(include_str!("sql/recovery_wake.sql")).bind(platform).execute(&self.pool).await?;
        Ok(woken.rows_affected())
    }
}
