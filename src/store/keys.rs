//! Which key the database is sealed with, and which processes have it.
//!
//! The canary, a known text sealed with the key in use, decides which of its keys a process seals with. So a process that
//! is given a new key beside the old one goes on with the old one, and processes that have only the old one open
//! everything, until `keys rotate` puts the new one in use; it does so only when every live process has it.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Sealer, Store, StoreError,
    seal::{KeyId, Place},
};

const CANARY: &str = "wxpatrol";
const CANARY_PLACE: Place<'static> = Place { platform: 0, appid: "", column: "canary" };

/// A live process and its keys.
#[derive(Debug, Clone, FromRow)]
pub struct KeyHolder {
    /// The process.
    pub process_id: Uuid,
    /// What it does: run, once, sync.
    pub purpose: String,
    /// Its version of wxpatrol.
    pub version: String,
    key_ids: Option<Vec<String>>,
    sealing_key_id: Option<String>,
}

impl KeyHolder {
    /// Whether it opens what this key sealed.
    #[must_use]
    pub fn has(&self, key: KeyId) -> bool {
        let key = key.to_string();
        self.key_ids.as_ref().is_some_and(|ids| ids.contains(&key))
    }

    /// Whether it seals with this key.
    #[must_use]
    pub fn seals_with(&self, key: KeyId) -> bool {
        self.sealing_key_id.as_deref() == Some(key.to_string().as_str())
    }
}

/// What became of the wish to put a key in use.
#[derive(Debug)]
pub enum KeyChange {
    /// It was in use before.
    None,
    /// It is in use from now on.
    Changed,
    /// These processes could not open what it seals: nothing was changed.
    Refused(Vec<KeyHolder>),
}

impl Store {
    /// Makes sure that this process opens what the database is sealed with, and seals with the key in use; the first
    /// process of a database decides. May be repeated.
    ///
    /// # Errors
    /// No key of this process is the one in use: nothing was changed.
    pub async fn check_sealing_key(&self) -> Result<KeyId, StoreError> {
        let sealer = self.sealer()?;
        sqlx::query(include_str!("sql/sealing_first.sql"))
            .bind(sealer.seal_as_configured(CANARY_PLACE, &SecretString::from(CANARY)))
            .execute(&self.pool)
            .await?;
        let canary: Vec<u8> = sqlx::query_scalar(include_str!("sql/sealing_key.sql")).fetch_one(&self.pool).await?;
        adopt(sealer, &canary)
    }

    /// The key that sealed a canary, when it is one of this process's.
    pub(super) fn key_of(&self, canary: &[u8]) -> Result<KeyId, StoreError> {
        known(self.sealer()?, canary)
    }

    /// Takes the key in use as the one to seal with, when the canary in a beat's answer says that it changed. `true`: it
    /// changed.
    pub(super) fn mind_the_key(&self, canary: Option<&[u8]>) -> bool {
        let (Some(sealer), Some(canary)) = (&self.sealer, canary) else { return false };
        let before = sealer.sealing();
        match adopt(sealer, canary) {
            Ok(key) => {
                if key != before {
                    tracing::info!(key = %key, "sealing with the key in use from now on");
                }
                key != before
            }
            Err(error) => {
                tracing::error!(%error, "tokens stored by other processes do not open here");
                false
            }
        }
    }

    /// Puts the configured key in use, unless a live process could not open what it seals. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer, or the canary is not ours: nothing was changed.
    pub async fn put_key_in_use(&self) -> Result<KeyChange, StoreError> {
        let sealer = self.sealer()?;
        let key = sealer.configured();
        let mut transaction = self.pool.begin().await?;
        let canary: Vec<u8> =
            sqlx::query_scalar(include_str!("sql/sealing_lock.sql")).fetch_one(&mut *transaction).await?;
        if adopt(sealer, &canary)? == key {
            return Ok(KeyChange::None);
        }
        let holders: Vec<KeyHolder> =
            sqlx::query_as(include_str!("sql/key_holders.sql")).fetch_all(&mut *transaction).await?;
        let without: Vec<KeyHolder> = holders.into_iter().filter(|holder| !holder.has(key)).collect();
        if !without.is_empty() {
            return Ok(KeyChange::Refused(without));
        }
        sqlx::query(include_str!("sql/sealing_change.sql"))
            .bind(sealer.seal_as_configured(CANARY_PLACE, &SecretString::from(CANARY)))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        sealer.seal_with(key);
        Ok(KeyChange::Changed)
    }

    /// The live processes and their keys.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn key_holders(&self) -> Result<Vec<KeyHolder>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/key_holders.sql")).fetch_all(&self.pool).await?)
    }

    /// The keys of this process: to seal with, as configured, and all that open.
    ///
    /// # Errors
    /// This process has no key.
    pub fn keys(&self) -> Result<&Sealer, StoreError> {
        self.sealer()
    }
}

/// Seals with the key that sealed this canary from now on.
fn adopt(sealer: &Sealer, canary: &[u8]) -> Result<KeyId, StoreError> {
    let key = known(sealer, canary)?;
    sealer.seal_with(key);
    Ok(key)
}

/// The key that sealed this canary.
fn known(sealer: &Sealer, canary: &[u8]) -> Result<KeyId, StoreError> {
    let damaged = || StoreError::Inconsistent("the canary of the encryption key (sealing_key) is damaged".to_owned());
    let key = KeyId::of_sealed(canary).ok_or_else(damaged)?;
    if !sealer.known().contains(&key) {
        return Err(StoreError::Inconsistent(format!(
            "WXPATROL_ENCRYPTION_KEY is not the key that this database was sealed with: set the one in use (its id is \
             {key}; this one's is {}), or name it in WXPATROL_ENCRYPTION_KEYS_OLD until `wxpatrol keys rotate` has \
             replaced it",
            sealer.configured()
        )));
    }
    let opened = sealer.open(CANARY_PLACE, canary).map_err(|_| damaged())?;
    if opened.expose_secret() != CANARY {
        return Err(damaged());
    }
    Ok(key)
}
