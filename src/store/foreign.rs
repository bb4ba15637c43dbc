//! Another system's tokens, read from the same Postgres through a query of the operator's.
//!
//! The query is the operator's own text, run as it stands: in a transaction that can only read, with a time-out, on
//! connections that log no statements and search where the role's own would. It may hold a key, its answer holds a
//! token, and Postgres repeats both in its messages, so nothing of either is ever part of an error.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Either, Executor as _, FromRow, PgPool, Row as _, SqlSafeStr as _,
    Statement as _, TypeInfo as _, ValueRef as _,
    postgres::{PgPoolOptions, PgRow, PgStatement, PgTypeInfo},
};

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
                Err(Unchecked { fault, passing: true }) => {
                    tracing::warn!(
                        fault,
                        "{name} can not be looked at now; that refuses no start, and it is asked all the same"
                    );
                }
                Err(Unchecked { fault, passing: false }) => return Err(format!("{name}: {fault}")),
            }
        }
        Ok(())
    }

    async fn check_one(&self, query: &SecretString) -> Result<(), Unchecked> {
        let text = AssertSqlSafe(query.expose_secret()).into_sql_str();
        let appids = [PgTypeInfo::with_name("TEXT"), PgTypeInfo::with_name("TEXT")];
        let mut connection = self.pool.acquire().await.map_err(|error| Unchecked::of(&error))?;
        let prepared = (*connection).prepare_with(text, &appids).await.map_err(|error| Unchecked::of(&error))?;
        let parameters = parameters(&prepared);
        if parameters > appids.len() {
            return Err(Unchecked::refused(format!(
                "holds ${parameters}, and is given two parameters only: $1, the component appid, and $2, the merchant's appid"
            )));
        }
        let kinds: Vec<&str> = prepared.columns().iter().map(|column| column.type_info().name()).collect();
        match kinds[..] {
            [token, ..] if !TEXT_TYPES.contains(&token) => {
                return Err(Unchecked::refused(format!("its first column, the token, must be text and not {token}")));
            }
            [_, "TIMESTAMP"] => {
                return Err(Unchecked::refused(
                    "its second column, the token's end, must be timestamptz: a timestamp does not say in which zone \
                            it is (write `... at time zone 'Asia/Shanghai'`)"
                        .to_owned(),
                ));
            }
            [_, end] if !EXPIRY_TYPES.contains(&end) => {
                return Err(Unchecked::refused(format!(
                    "its second column, the token's end, must be timestamptz or seconds and not {end}"
                )));
            }
            [_] | [_, _] => {}
            _ => {
                return Err(Unchecked::refused(format!(
                    "must give two columns, the token and its end, and gives {}",
                    kinds.len()
                )));
            }
        }
        drop(connection);
        // Rights are looked at only when it runs. Whatever else a made-up appid leads to says nothing.
        match self.answer(query, "wx", "wx").await {
            Err(error) if matches!(code(&error).as_deref(), Some("42501" | "25006")) => {
                Err(Unchecked::refused(said(&error)))
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
        let mut transaction = self.pool.begin_with(include_str!("sql/foreign_begin.sql")).await?;
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

enum End {
    At(DateTime<Utc>),
    Number(f64),
}

/// The second column, if there is one and it says something.
fn end(row: &PgRow) -> Result<Option<End>, sqlx::Error> {
    let Some(column) = row.columns().get(1) else { return Ok(None) };
    let number = match column.type_info().name() {
        "TIMESTAMPTZ" => {
            let value = row.try_get_raw(1)?;
            if value.is_null() {
                return Ok(None);
            }
            let bytes: Result<[u8; 8], _> = value.as_bytes().map_err(sqlx::Error::Decode)?.try_into();
            let micros = i64::from_be_bytes(bytes.map_err(|error| sqlx::Error::Decode(Box::new(error)))?);
            return Ok(Some(End::At(instant(micros))));
        }
        "INT2" => row.try_get::<Option<i16>, _>(1)?.map(f64::from),
        "INT4" => row.try_get::<Option<i32>, _>(1)?.map(f64::from),
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below what an f64 holds exactly")]
        "INT8" => row.try_get::<Option<i64>, _>(1)?.map(|secs| secs as f64),
        "FLOAT4" => row.try_get::<Option<f32>, _>(1)?.map(f64::from),
        "FLOAT8" => row.try_get::<Option<f64>, _>(1)?,
        "NUMERIC" => {
            let value = row.try_get_raw(1)?;
            if value.is_null() {
                return Ok(None);
            }
            Some(numeric(value.as_bytes().map_err(sqlx::Error::Decode)?).unwrap_or(f64::NAN))
        }
        other => return Err(sqlx::Error::Decode(format!("a column of type {other}").into())),
    };
    Ok(number.map(End::Number))
}

/// A `timestamptz` as Postgres sends it: microseconds since 2000. The driver's own reading panics on `infinity`, which
/// stands in tables whose tokens are said to live for ever.
fn instant(micros: i64) -> DateTime<Utc> {
    const UNIX_MICROS_OF_2000: i64 = 946_684_800_000_000;
    let far = if micros > 0 { DateTime::<Utc>::MAX_UTC } else { DateTime::<Utc>::MIN_UTC };
    micros.checked_add(UNIX_MICROS_OF_2000).and_then(DateTime::from_timestamp_micros).unwrap_or(far)
}

/// A `numeric` as Postgres sends it: four 16-bit words (digits, weight, sign, scale), then digits to the base 10 000. It
/// is what `extract(epoch from ...)` gives.
fn numeric(bytes: &[u8]) -> Option<f64> {
    let word = |index: usize| Some(u16::from_be_bytes(bytes.get(2 * index..2 * index + 2)?.try_into().ok()?));
    let digits = usize::from(word(0)?);
    let weight = i32::from(i16::from_be_bytes(word(1)?.to_be_bytes()));
    let sign = match word(2)? {
        0x0000 => 1.0,
        0x4000 => -1.0,
        _ => return None,
    };
    let mut value = 0.0;
    for (place, index) in (4..4 + digits).enumerate() {
        let exponent = weight - i32::try_from(place).ok()?;
        value += f64::from(word(index)?) * 10_000_f64.powi(exponent);
    }
    Some(sign * value)
}

/// Why a query could not be looked at at the start.
pub(super) struct Unchecked {
    /// Half a sentence that repeats no value.
    pub fault: String,
    /// Whether it may pass by itself, so that it is nobody's to mend.
    pub passing: bool,
}

impl Unchecked {
    /// The query itself is wrong.
    pub fn refused(fault: String) -> Self {
        Self { fault, passing: false }
    }

    /// Postgres did not prepare it.
    pub fn of(error: &sqlx::Error) -> Self {
        match passing(error) {
            true => Self { fault: said(error), passing: true },
            false => Self::refused(unprepared(error)),
        }
    }
}

/// Whether a fault is not the query's own. 55: a lock; 57: cancelled or shut down; 53: out of something; 40: rolled back; 08 and
/// none: no connection.
pub(super) fn passing(error: &sqlx::Error) -> bool {
    code(error).is_none_or(|code| ["55", "57", "53", "40", "08"].contains(&code.get(..2).unwrap_or("")))
}

/// The highest parameter that a prepared query holds, or the number that was told of it where that is more.
pub(super) fn parameters(prepared: &PgStatement) -> usize {
    match prepared.parameters() {
        Some(Either::Left(types)) => types.len(),
        Some(Either::Right(count)) => count,
        None => 0,
    }
}

pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

/// What went wrong when it ran. Postgres's own words may repeat a value, so only its code is said.
pub(super) fn said(error: &sqlx::Error) -> String {
    match code(error).as_deref() {
        Some("57014") => format!("took longer than {} s", TIMEOUT_MS / 1000),
        Some("55P03") => "waited for a lock for too long".to_owned(),
        Some("25006") => "tries to write, and may only read".to_owned(),
        Some("42501") => "reads what this role may not: grant it the right to select".to_owned(),
        Some(code) => format!("failed in Postgres (SQLSTATE {code})"),
        None => match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => "can not be asked: Postgres does not answer".to_owned(),
            _ => "answers with rows that can not be read".to_owned(),
        },
    }
}

/// Why Postgres can not prepare it. The words of faults in names are about the query alone; those of faults in the
/// syntax or in constants may repeat a key that stands in it.
pub(super) fn unprepared(error: &sqlx::Error) -> String {
    let Some(database) = error.as_database_error() else { return said(error) };
    let code = code(error).unwrap_or_default();
    let place = match database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|error| error.position())
    {
        Some(sqlx::postgres::PgErrorPosition::Original(place)) => format!(" at its character {place}"),
        Some(sqlx::postgres::PgErrorPosition::Internal { .. }) | None => String::new(),
    };
    match code.as_str() {
        "42P01" | "42703" | "42883" | "42P02" | "3F000" => {
            format!("Postgres can not prepare it: {} (SQLSTATE {code})", database.message())
        }
        "42601" => format!("Postgres can not prepare it: there is a fault in its syntax{place} (SQLSTATE {code})"),
        _ => format!("Postgres can not prepare it{place} (SQLSTATE {code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_read_as_postgres_sends_it() {
        // 7200.5: one digit before the point (weight 0), one after it.
        assert_eq!(numeric(&[0, 2, 0, 0, 0, 0, 0, 1, 0x1c, 0x20, 0x13, 0x88]), Some(7200.5));
        // -10001.
        assert_eq!(numeric(&[0, 2, 0, 1, 0x40, 0, 0, 0, 0, 1, 0, 1]), Some(-10_001.0));
        assert_eq!(numeric(&[0, 0, 0, 0, 0, 0, 0, 0]), Some(0.0));
        for broken in [&[][..], &[0, 2, 0, 0, 0, 0, 0, 1, 0x1c], &[0, 0, 0, 0, 0xc0, 0, 0, 0]] {
            assert_eq!(numeric(broken), None);
        }
    }
}
