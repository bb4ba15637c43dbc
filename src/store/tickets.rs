//! Verify tickets of known age, and the right to ask WeChat for them when none come.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::{Store, StoreError, seal::Place};
use crate::domain::PlatformId;

/// No ticket came for a while, and this process asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketSilence {
    /// The age of the newest ticket; `None`: there is none.
    pub ticket_age: Option<Duration>,
}

impl Store {
    /// Keeps a ticket that was made at a known time; `false`: the stored one is as new, or this one is dead. May be
    /// repeated.
    ///
    /// # Errors
    /// Postgres did not answer, or there is no key to seal with.
    pub async fn keep_dated_ticket(
        &self,
        platform: PlatformId,
        ticket: &SecretString,
        made_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let sealed = self.sealer()?.seal(Place { platform, appid: "", column: "ticket" }, ticket);
        let kept = sqlx::query(include_str!("sql/ticket_dated.sql"))
            .bind(platform)
            .bind(sealed)
            .bind(made_at)
            .execute(&self.pool)
            .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Asks for the right to have WeChat push tickets again, which one process gets when none came for `silence`, and
    /// once within `silence`. `None`: tickets come, or somebody has asked.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn claim_ticket_ask(
        &self,
        platform: PlatformId,
        silence: Duration,
    ) -> Result<Option<TicketSilence>, StoreError> {
        let granted: Option<Option<f64>> = sqlx::query_scalar(include_str!("sql/push_ask.sql"))
            .bind(platform)
            .bind(silence.as_secs_f64())
            .fetch_optional(&self.pool)
            .await?;
        Ok(granted.map(|age| TicketSilence { ticket_age: age.and_then(|age| Duration::try_from_secs_f64(age).ok()) }))
    }

    /// Gives the right back that WeChat was not reached with: somebody may ask again in a minute. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: it is asked again after `silence`.
    pub async fn give_ticket_ask_back(&self, platform: PlatformId, silence: Duration) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/push_ask_back.sql"))
            .bind(platform)
            .bind(silence.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
