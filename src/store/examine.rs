//! What a person must know of this Postgres before wxpatrol works there, for `wxpatrol doctor`. Nothing is changed.

use chrono::Utc;
use sqlx::FromRow;

use super::{Store, StoreError, roles, seal::KeyId};

/// A server and this login on it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ServerFacts {
    /// Its version as a number: 150004 is 15.4.
    pub version_num: i32,
    /// Its version in words.
    pub version: String,
    /// Whom this process logs in as.
    pub login: String,
    /// Whether that login may do everything.
    pub superuser: bool,
    /// Who owns wxpatrol's tables; `None`: there are none yet.
    pub owner: Option<String>,
    /// Whether the login is in the role `wxpatrol_worker`.
    pub worker: bool,
    /// Whether nothing can be written: a replica, or a login that may only read.
    pub read_only: bool,
    /// Milliseconds by which this machine's clock is ahead of the server's; negative: behind.
    pub skew_ms: i64,
}

/// How the schema stands to this binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// Nothing is missing.
    UpToDate,
    /// So many migrations are missing; all of them where there is no schema yet.
    Behind(usize),
    /// It is newer than this binary tolerates: the sentence that says so.
    Newer(String),
    /// This login may not read which migrations there are.
    Closed,
}

impl Store {
    /// The server and this login. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn server_facts(&self) -> Result<ServerFacts, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let facts = sqlx::query_as(include_str!("sql/examine_server.sql")).bind(Utc::now());
        Ok(facts.fetch_one(&mut connection).await?)
    }

    /// How the schema stands, without changing it. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let missing = match self.missing_migrations().await {
            Ok(missing) => missing,
            Err(error) if roles::not_allowed(&error) => return Ok(SchemaState::Closed),
            Err(error) => return Err(error.into()),
        };
        match self.refuse_newer_schema().await {
            Ok(()) if missing == 0 => Ok(SchemaState::UpToDate),
            Ok(()) => Ok(SchemaState::Behind(missing)),
            Err(StoreError::Inconsistent(sentence)) => Ok(SchemaState::Newer(sentence)),
            Err(error) => Err(error),
        }
    }

    /// The key in use, when this process has it; `None`: nothing was ever sealed here. Nothing is changed, not even which
    /// key this process seals with.
    ///
    /// # Errors
    /// This process has no key, or not the one in use; Postgres did not answer.
    pub async fn key_in_use(&self) -> Result<Option<KeyId>, StoreError> {
        let canary: Option<Vec<u8>> =
            sqlx::query_scalar(include_str!("sql/sealing_key.sql")).fetch_optional(&self.pool).await?;
        canary.map(|canary| self.key_of(&canary)).transpose()
    }
}
