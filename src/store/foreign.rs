//! Another system's tokens, read from the same Postgres through a query of the operator's.
//!
//! The query is the operator's own text, run as it stands: in a transaction that can only read, with a time-out, on
//! connections that log no statements and search where the role's own would. It may hold a key, its answer holds a
//! token, and Postgres repeats both in its messages, so nothing of either is ever part of an error.

mod ends;
mod fault;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Executor as _, FromRow, PgPool, Row as _,
    SqlSafeStr as _, Statement as _, TypeInfo as _,
    postgres::{PgPoolOptions, PgRow, PgTypeInfo},
};

use ends::{End, end};
pub use fault::QueryFault;
pub(super) use fault::{code, parameters, passing, said, unprepared, within};

use super::{Store, StoreError};
use crate::domain::{
    PlatformId,
    expiry::{by_instant, by_number},
    ports::{ForeignToken, Holder, SourceFault, TokenSource},
};

/// Connections for these queries, beside the others of the process.
const CONNECTIONS_MAX: u32 = 2;
/// How long a query may take.
const TIMEOUT_MS: u32 = 5_000;
const LOCK_TIMEOUT_MS: u32 = 2_000;

pub(super) const TEXT_TYPES: [&str; 5] = ["TEXT", "VARCHAR", "CHAR", "NAME", "UNKNOWN"];
const EXPIRY_TYPES: [&str; 7] = ["TIMESTAMPTZ", "INT2", "INT4", "INT8", "FLOAT4", "FLOAT8", "NUMERIC"];

/// The operator's queries. `$1` is the component appid, `$2` the merchant's; the columns are the token and its end.
#[derive(Debug, Clone)]
pub struct TokenQuerySettings {
    /// For a merchant's token.
    pub merchant: SecretString,
    /// For the platform's own token, when it can be had.
    pub component: Option<SecretString>,
}

/// A source of tokens over these queries. Clones share their connections.
#[derive(Clone)]
pub struct TokenQueries {
    pool: PgPool,
    store: Store,
    settings: TokenQuerySettings,
}

impl Store {
    /// A source over these queries; nothing is asked yet.
    #[must_use]
    pub fn token_queries(&self, settings: TokenQuerySettings) -> TokenQueries {
        let options = (*self.plain).clone().application_name("wxpatrol-tokens").disable_statement_logging().options([
            ("default_transaction_read_only", "on".to_owned()),
            ("statement_timeout", TIMEOUT_MS.to_string()),
            ("lock_timeout", LOCK_TIMEOUT_MS.to_string()),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(options);
        TokenQueries { pool, store: self.clone(), settings }
    }
}

/// What this database holds for wxpatrol to refresh tokens with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct OwnTokens {
    /// A verify ticket.
    pub ticket: bool,
    /// Merchants with a token.
    pub merchants: i64,
}

impl Store {
    /// What is stored to refresh a platform's tokens with.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn own_tokens(&self, platform: PlatformId) -> Result<OwnTokens, StoreError> {
        let own = sqlx::query_as(include_str!("sql/own_tokens.sql")).bind(platform).fetch_one(&self.pool).await?;
        Ok(own)
    }

    /// Remembers whether another system keeps the tokens of a platform: then neither secret nor ticket is missed.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn remember_keeper(&self, platform: PlatformId, external: bool) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/platform_external.sql"))
            .bind(platform)
            .bind(external)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Any merchant that is not withdrawn, to ask a source of tokens for.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn some_merchant(&self, platform: PlatformId) -> Result<Option<String>, StoreError> {
        let appid = sqlx::query_scalar(include_str!("sql/merchant_any.sql")).bind(platform);
        Ok(appid.fetch_optional(&self.pool).await?)
    }
}

impl TokenQueries {
    /// Whether Postgres can prepare the queries, their columns are right, and the role may read what they read. What only
    /// keeps Postgres from looking now, such as a lock, is said, and nothing more.
    ///
    /// # Errors
    /// The sentence that says what is wrong with which, for the person who wrote it.
    pub async fn check(&self) -> Result<(), String> {
        let named = [
            ("WXPATROL_TOKEN_SQL", Some(&self.settings.merchant)),
            ("WXPATROL_COMPONENT_TOKEN_SQL", self.settings.component.as_ref()),
        ];
        for (name, query) in named {
            let Some(query) = query else { continue };
            match self.check_one(query).await {
                Ok(()) => {}
                Err(QueryFault { fault, passing: true }) => {
                    tracing::warn!(
                        fault,
                        "{name} can not be looked at now; that refuses no start, and it is asked all the same"
                    );
                }
                Err(QueryFault { fault, passing: false }) => return Err(format!("{name}: {fault}")),
            }
        }
        Ok(())
    }

    async fn check_one(&self, query: &SecretString) -> Result<(), QueryFault> {
        let text = AssertSqlSafe(query.expose_secret()).into_sql_str();
        let appids = [PgTypeInfo::with_name("TEXT"), PgTypeInfo::with_name("TEXT")];
        let mut connection = self.pool.acquire().await.map_err(|error| QueryFault::of(&error))?;
        let prepared = match within(TIMEOUT_MS, (*connection).prepare_with(text, &appids)).await {
            Ok(prepared) => prepared,
            Err(error) => {
                // In the pool it would be asked whether it still answers, without end.
                drop(connection.detach());
                return Err(QueryFault::of(&error));
            }
        };
        let parameters = parameters(&prepared);
        if parameters > appids.len() {
            return Err(QueryFault::refused(format!(
                "holds ${parameters}, and is given two parameters only: $1, the component appid, and $2, the merchant's appid"
            )));
        }
        let kinds: Vec<&str> = prepared.columns().iter().map(|column| column.type_info().name()).collect();
        match kinds[..] {
            [token, ..] if !TEXT_TYPES.contains(&token) => {
                return Err(QueryFault::refused(format!("its first column, the token, must be text and not {token}")));
            }
            [_, "TIMESTAMP"] => {
                return Err(QueryFault::refused(
                    "its second column, the token's end, must be timestamptz: a timestamp does not say in which zone \
                            it is (write `... at time zone 'Asia/Shanghai'`)"
                        .to_owned(),
                ));
            }
            [_, end] if !EXPIRY_TYPES.contains(&end) => {
                return Err(QueryFault::refused(format!(
                    "its second column, the token's end, must be timestamptz or seconds and not {end}"
                )));
            }
            [_] | [_, _] => {}
            _ => {
                return Err(QueryFault::refused(format!(
                    "must give two columns, the token and its end, and gives {}",
                    kinds.len()
                )));
            }
        }
        drop(connection);
        // Rights are looked at only when it runs. Whatever else a made-up appid leads to says nothing.
        match self.answer(query, "wx", "wx").await {
            Err(error) if matches!(code(&error).as_deref(), Some("42501" | "25006")) => {
                Err(QueryFault::refused(said(&error)))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn answer(
        &self,
        query: &SecretString,
        component_appid: &str,
        appid: &str,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let asked = within(TIMEOUT_MS, async {
            let mut transaction = connection.begin_with(include_str!("sql/foreign_begin.sql")).await?;
            let mut rows = Vec::new();
            {
                let text = AssertSqlSafe(query.expose_secret());
                let mut answers = sqlx::query(text).bind(component_appid).bind(appid).fetch(&mut *transaction);
                // The second row is only there to be refused.
                while rows.len() < 2 {
                    let Some(row) = answers.try_next().await? else { break };
                    rows.push(row);
                }
            }
            transaction.rollback().await?;
            Ok(rows)
        });
        let asked = asked.await;
        if matches!(asked, Err(sqlx::Error::Io(_))) {
            // In the pool it would be asked whether it still answers, without end.
            drop(connection.detach());
        }
        asked
    }

    fn read(&self, rows: &[PgRow]) -> Result<Option<ForeignToken>, String> {
        let row = match rows {
            [] => return Ok(None),
            [row] => row,
            _ => return Err("answers with more than one row for one token".to_owned()),
        };
        let unreadable = |_: sqlx::Error| "answers with a row that can not be read".to_owned();
        let token: Option<String> = row.try_get(0).map_err(unreadable)?;
        let Some(token) = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let now = self.store.now();
        let good_for = match end(row).map_err(unreadable)? {
            None => None,
            Some(End::At(instant)) => Some(by_instant(instant, now)),
            Some(End::Number(number)) => {
                Some(by_number(number, now).ok_or("answers with an end that is neither seconds nor an instant")?)
            }
        };
        Ok(Some(ForeignToken { access_token: SecretString::from(token), good_for }))
    }
}

#[async_trait]
impl TokenSource for TokenQueries {
    async fn token(&self, component_appid: &str, holder: &Holder) -> Result<Option<ForeignToken>, SourceFault> {
        let (query, appid) = match (holder, &self.settings.component) {
            (Holder::Merchant(appid), _) => (&self.settings.merchant, appid.as_str()),
            (Holder::Component, Some(query)) => (query, component_appid),
            (Holder::Component, None) => return Ok(None),
        };
        let rows = self.answer(query, component_appid, appid).await.map_err(|error| said(&error));
        let answer = rows.and_then(|rows| self.read(&rows));
        answer.map_err(|fault| SourceFault(format!("the external token source (a query) {fault}")))
    }

    fn knows_the_platform(&self) -> bool {
        self.settings.component.is_some()
    }
}
