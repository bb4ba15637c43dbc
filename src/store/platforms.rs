//! The platforms of this installation: their settings, and their credentials, sealed.
//!
//! A secret leaves this module only as a [`SecretString`], one platform at a time, so that one that can not be opened
//! hides no other.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::FromRow;

use super::{Store, StoreError, pool::Transaction, seal::Place};
use crate::domain::{Endpoint, PlatformId};

/// A platform's row.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct PlatformRow {
    /// Its row number.
    #[sqlx(rename = "platform_id")]
    pub id: PlatformId,
    /// Its appid.
    pub component_appid: String,
    /// What people call it.
    pub nickname: Option<String>,
    /// Whether it is patrolled at all.
    pub enabled: bool,
    /// The schedules that are on for it; `None`: all.
    pub schedules: Option<Vec<String>>,
    /// Its own limits, as `checkmobile=50/s` or `checkmobile_merchant=1/s`.
    pub limits: Vec<String>,
    /// Whether some process has named it in its environment within a day.
    pub named_lately: bool,
    /// Whether a process last said that another system keeps its tokens.
    pub external: bool,
    secret_sealed: Option<Vec<u8>>,
}

impl PlatformRow {
    /// Whether its secret is stored.
    #[must_use]
    pub fn secret_stored(&self) -> bool {
        self.secret_sealed.is_some()
    }

    /// Whether what an engine stands on is the same in both: the secret and the limits.
    #[must_use]
    pub fn patrolled_as(&self, other: &Self) -> bool {
        self.secret_sealed == other.secret_sealed && self.limits == other.limits
    }
}

impl fmt::Debug for PlatformRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformRow")
            .field("id", &self.id)
            .field("component_appid", &self.component_appid)
            .field("enabled", &self.enabled)
            .field("schedules", &self.schedules)
            .field("limits", &self.limits)
            .field("secret_stored", &self.secret_stored())
            .finish_non_exhaustive()
    }
}

/// What WeChat signs and encrypts its authorization events with; `None`: not known.
#[derive(Debug, Clone)]
pub struct EventSecrets {
    /// The token that signs.
    pub token: Option<SecretString>,
    /// The EncodingAESKey: 43 letters and digits.
    pub encoding_aes_key: Option<SecretString>,
}

/// What a person gives about a platform; what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct PlatformChange {
    /// What people call it; empty: nothing any more.
    pub nickname: Option<String>,
    /// Its secret.
    pub secret: Option<SecretString>,
    /// Its newest verify ticket.
    pub ticket: Option<SecretString>,
    /// The token of its authorization event URL.
    pub event_token: Option<SecretString>,
    /// The EncodingAESKey of that URL.
    pub event_key: Option<SecretString>,
    /// The schedules that are on for it; `Some(None)`: all.
    pub schedules: Option<Option<Vec<String>>>,
    /// Limits of an endpoint, of each merchant or of the platform as a whole; `None`: the environment's holds again.
    pub limits: Vec<(Endpoint, bool, Option<String>)>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformKept {
    /// It was not known before.
    Added,
    /// Something is different now.
    Changed,
    /// It was all so already.
    Same,
}

#[derive(FromRow)]
struct Sealed {
    platform_id: PlatformId,
    secret_sealed: Option<Vec<u8>>,
    event_token_sealed: Option<Vec<u8>>,
    event_key_sealed: Option<Vec<u8>>,
    ticket_sealed: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct SealedEvent {
    event_token_sealed: Option<Vec<u8>>,
    event_key_sealed: Option<Vec<u8>>,
}

fn place(platform: PlatformId, column: &'static str) -> Place<'static> {
    Place { platform, appid: "", column }
}

impl Store {
    /// Every platform, oldest first.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn platforms(&self) -> Result<Vec<PlatformRow>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/platforms.sql")).fetch_all(&self.pool).await?)
    }

    /// The stored secret of a platform; `None`: none is.
    ///
    /// # Errors
    /// It can not be opened: sealed with another key, or damaged.
    pub fn platform_secret(&self, row: &PlatformRow) -> Result<Option<SecretString>, StoreError> {
        let Some(sealed) = &row.secret_sealed else { return Ok(None) };
        self.sealer()?.open(place(row.id, "secret"), sealed).map(Some)
    }

    /// What a platform's authorization event URL is signed and encrypted with. May be repeated: an operator may change
    /// it at any time.
    ///
    /// # Errors
    /// Postgres did not answer, there is no such platform, or what is stored can not be opened.
    pub async fn event_secrets(&self, platform: PlatformId) -> Result<EventSecrets, StoreError> {
        let sealed: SealedEvent =
            sqlx::query_as(include_str!("sql/platform_event.sql")).bind(platform).fetch_one(&self.pool).await?;
        let open = |column, sealed: Option<Vec<u8>>| {
            sealed.map(|sealed| self.sealer()?.open(place(platform, column), &sealed)).transpose()
        };
        Ok(EventSecrets {
            token: open("event_token", sealed.event_token_sealed)?,
            encoding_aes_key: open("event_key", sealed.event_key_sealed)?,
        })
    }

    /// Adds a platform, or changes what is given of one that is known, all or nothing. May be repeated.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn keep_platform(
        &self,
        component_appid: &str,
        change: &PlatformChange,
    ) -> Result<(PlatformId, PlatformKept), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let added = sqlx::query(include_str!("sql/platform_add.sql"))
            .bind(component_appid)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let known: Sealed = sqlx::query_as(include_str!("sql/platform_lock.sql"))
            .bind(component_appid)
            .fetch_one(&mut *transaction)
            .await?;
        let changed = self.change(&mut transaction, &known, change).await?;
        transaction.commit().await?;
        let kept = match (added, changed) {
            (1.., _) => PlatformKept::Added,
            (0, true) => PlatformKept::Changed,
            (0, false) => PlatformKept::Same,
        };
        Ok((known.platform_id, kept))
    }

    async fn change(
        &self,
        transaction: &mut Transaction,
        known: &Sealed,
        change: &PlatformChange,
    ) -> Result<bool, StoreError> {
        let platform = known.platform_id;
        // Sealed afresh a text always differs: what is stored already stays as it is.
        let differing = |column, stored: &Option<Vec<u8>>, given: &Option<SecretString>| {
            let Some(given) = given else { return Ok(None) };
            let sealer = self.sealer()?;
            let same = stored
                .as_ref()
                .and_then(|stored| sealer.open(place(platform, column), stored).ok())
                .is_some_and(|stored| stored.expose_secret() == given.expose_secret());
            Ok::<_, StoreError>((!same).then(|| sealer.seal(place(platform, column), given)))
        };
        let mut rows = sqlx::query(include_str!("sql/platform_change.sql"))
            .bind(platform)
            .bind(&change.nickname)
            .bind(differing("secret", &known.secret_sealed, &change.secret)?)
            .bind(differing("event_token", &known.event_token_sealed, &change.event_token)?)
            .bind(differing("event_key", &known.event_key_sealed, &change.event_key)?)
            .bind(change.schedules.is_some())
            .bind(change.schedules.clone().flatten())
            .execute(&mut **transaction)
            .await?
            .rows_affected();
        if let Some(ticket) = differing("ticket", &known.ticket_sealed, &change.ticket)? {
            let stored = sqlx::query(include_str!("sql/ticket_store.sql")).bind(platform).bind(ticket).bind(false);
            rows += stored.execute(&mut **transaction).await?.rows_affected();
        }
        rows += Self::set_limits(transaction, platform, &change.limits).await?;
        Ok(rows > 0)
    }

    async fn set_limits(
        transaction: &mut Transaction,
        platform: PlatformId,
        limits: &[(Endpoint, bool, Option<String>)],
    ) -> Result<u64, StoreError> {
        let (set, dropped): (Vec<_>, Vec<_>) = limits.iter().partition(|(_, _, text)| text.is_some());
        let names = |rows: &[&(Endpoint, bool, Option<String>)]| -> (Vec<&'static str>, Vec<bool>) {
            rows.iter().map(|(endpoint, per_merchant, _)| (endpoint.name(), *per_merchant)).unzip()
        };
        let (endpoints, per_merchant) = names(&set);
        let kept = sqlx::query(include_str!("sql/platform_limits_set.sql"))
            .bind(platform)
            .bind(endpoints)
            .bind(per_merchant)
            .bind(set.iter().filter_map(|(_, _, text)| text.as_deref()).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
        let (endpoints, per_merchant) = names(&dropped);
        let gone = sqlx::query(include_str!("sql/platform_limits_drop.sql"))
            .bind(platform)
            .bind(endpoints)
            .bind(per_merchant)
            .execute(&mut **transaction)
            .await?;
        Ok(kept.rows_affected() + gone.rows_affected())
    }

    /// Patrols a platform, or leaves it alone; `false`: it was so already. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn enable_platform(&self, platform: PlatformId, enabled: bool) -> Result<bool, StoreError> {
        let changed = sqlx::query(include_str!("sql/platform_enable.sql"))
            .bind(platform)
            .bind(enabled)
            .execute(&self.pool)
            .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// The platforms that know every one of these merchants, withdrawn ones included.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn platforms_knowing(&self, appids: &[String]) -> Result<Vec<PlatformId>, StoreError> {
        let mut unique: Vec<&String> = appids.iter().collect();
        unique.sort();
        unique.dedup();
        Ok(sqlx::query_scalar(include_str!("sql/platforms_knowing.sql")).bind(unique).fetch_all(&self.pool).await?)
    }
}
