//! The list of merchants in a table or view of the provider's own, read through a query of the operator's
//! (`WXPATROL_MERCHANT_SQL`), so that nothing is kept twice.
//!
//! As with tokens ([`super::foreign`]) the query is the operator's own text, in a transaction that can only read, on a
//! connection that logs no statements and searches where the role's own would; nothing of its text or its values is ever
//! part of an error. It is read page by page through a cursor: one snapshot, however long the list is, in bounded memory.

mod columns;

use std::sync::{Arc, OnceLock};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Executor as _, FromRow, PgConnection,
    SqlSafeStr as _, Statement as _, TypeInfo as _, postgres::PgTypeInfo,
};

pub use columns::Given;

use super::{
    Store,
    foreign::{self, QueryFault},
    merchants::MerchantRow,
};
use crate::domain::{Kind, appid::appid};

/// How long one page may take; the first may have to sort the whole list.
const TIMEOUT_MS: u32 = 60_000;
/// How long the trial at the start may take. A list that takes longer is not refused for that.
const TRIAL_TIMEOUT_MS: u32 = 5_000;
const LOCK_TIMEOUT_MS: u32 = 2_000;
/// A process that stopped in mid-list does not hold its snapshot for ever.
const IDLE_TIMEOUT_MS: u32 = 600_000;

/// A query that lists merchants and has been looked at. Clones are the same list.
#[derive(Clone)]
pub struct MerchantList {
    store: Store,
    query: SecretString,
    /// What was seen of the query; nothing while Postgres could not look at it.
    seen: Arc<OnceLock<Seen>>,
}

struct Seen {
    /// The query in its casts.
    statement: SecretString,
    given: Given,
}

impl std::fmt::Debug for MerchantList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MerchantList").field("given", &self.given()).finish_non_exhaustive()
    }
}

/// A list that is being read: one snapshot of it, until this is dropped.
pub struct MerchantPages {
    connection: PgConnection,
}

/// Some merchants of the list.
#[derive(Debug, Default)]
pub struct MerchantPage {
    /// Those that can be kept.
    pub rows: Vec<MerchantRow>,
    /// Rows that name no merchant: without an appid, or with a text that is none.
    pub nameless: u64,
    /// Values that were left out because they can not be read, such as a kind that is none.
    pub unreadable: u64,
}

#[derive(FromRow)]
struct Listed {
    appid: Option<String>,
    kind: Option<String>,
    nickname: Option<String>,
    principal: Option<String>,
    permission_sets: Option<String>,
    account_status: Option<i64>,
    authorized_at: Option<f64>,
}

impl Store {
    /// Looks at a query that lists merchants, of which `$1` is the component's appid: whether Postgres can prepare it, its
    /// columns are right, and the role may read what it reads. What only keeps Postgres from looking now, such as a lock, is
    /// said, and the query is looked at when the list is read. May be repeated.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it, for the person who wrote it.
    pub async fn merchant_list(&self, query: &SecretString, component_appid: &str) -> Result<MerchantList, String> {
        let list = MerchantList { store: self.clone(), query: query.clone(), seen: Arc::default() };
        match list.try_out(component_appid).await {
            Ok(()) => Ok(list),
            Err(QueryFault { fault, passing: true }) => {
                tracing::warn!(fault, "WXPATROL_MERCHANT_SQL can not be looked at now; it is when the list is read");
                Ok(list)
            }
            Err(QueryFault { fault, passing: false }) => Err(fault),
        }
    }

    async fn merchant_connection(&self, timeout_ms: u32) -> Result<PgConnection, sqlx::Error> {
        let options =
            (*self.plain).clone().application_name("wxpatrol-merchants").disable_statement_logging().options([
                ("default_transaction_read_only", "on".to_owned()),
                ("statement_timeout", timeout_ms.to_string()),
                ("lock_timeout", LOCK_TIMEOUT_MS.to_string()),
                ("idle_in_transaction_session_timeout", IDLE_TIMEOUT_MS.to_string()),
            ]);
        foreign::within(timeout_ms, options.connect()).await
    }
}

/// What reading the list failed with.
fn unlisted(error: &sqlx::Error) -> QueryFault {
    let code = foreign::code(error);
    let fault = match code.as_deref() {
        Some("57014") => format!("took longer than {} s for a thousand merchants", TIMEOUT_MS / 1000),
        Some("42501" | "25006" | "55P03") | None => foreign::said(error),
        Some(_) => foreign::unprepared(error),
    };
    QueryFault { fault, passing: foreign::passing(error) }
}

impl MerchantList {
    /// Which columns it gives; none, as long as that could not be seen.
    #[must_use]
    pub fn given(&self) -> Given {
        self.seen.get().map(|seen| seen.given).unwrap_or_default()
    }

    /// Whether Postgres has looked at the query.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.seen.get().is_some()
    }

    /// Runs it as far as shows whether it can work.
    async fn try_out(&self, component_appid: &str) -> Result<(), QueryFault> {
        let mut connection = self.look().await?;
        // Rights, and whether it writes, are looked at only when it runs.
        let tried = foreign::within(TRIAL_TIMEOUT_MS, async {
            connection.execute(include_str!("sql/foreign_begin.sql")).await?;
            let tried = sqlx::query(AssertSqlSafe(self.query.expose_secret())).bind(component_appid);
            tried.fetch_optional(&mut connection).await.map(drop)
        });
        match tried.await {
            Err(error) if matches!(foreign::code(&error).as_deref(), Some("42501" | "25006")) => {
                return Err(QueryFault::refused(foreign::said(&error)));
            }
            Ok(()) | Err(_) => {}
        }
        foreign::within(0, connection.close()).await.ok();
        // Columns that can not be cast, and a query that is more than one, show only in this form.
        match self.pages(component_appid).await {
            Ok(_) | Err(QueryFault { passing: true, .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Looks at the query's columns, on a connection that can be used further.
    async fn look(&self) -> Result<PgConnection, QueryFault> {
        let connected = self.store.merchant_connection(TRIAL_TIMEOUT_MS).await;
        let mut connection = connected.map_err(|error| QueryFault::of(&error))?;
        let raw = AssertSqlSafe(self.query.expose_secret()).into_sql_str();
        let text = [PgTypeInfo::with_name("TEXT")];
        let prepared = foreign::within(TRIAL_TIMEOUT_MS, connection.prepare_with(raw, &text));
        let prepared = prepared.await.map_err(|error| QueryFault::of(&error))?;
        let parameters = foreign::parameters(&prepared);
        if parameters > text.len() {
            return Err(QueryFault::refused(format!(
                "holds ${parameters}, and is given one parameter only: $1, the component appid"
            )));
        }
        let columns: Vec<(&str, &str)> =
            prepared.columns().iter().map(|column| (column.name(), column.type_info().name())).collect();
        let (given, casts) = columns::columns_of(&columns).map_err(QueryFault::refused)?;
        let statement = format!(
            "declare merchant_list no scroll cursor for select {} from (\n{}\n) q",
            casts.join(", "),
            self.query.expose_secret()
        );
        self.seen.get_or_init(|| Seen { statement: SecretString::from(statement), given });
        Ok(connection)
    }

    /// What was seen of the query, at the latest now.
    async fn seen(&self) -> Result<&Seen, QueryFault> {
        if !self.is_seen() {
            foreign::within(0, self.look().await?.close()).await.ok();
        }
        Ok(self.seen.get().expect("who has looked without a fault has seen it"))
    }

    /// Begins to read the merchants of a platform.
    ///
    /// # Errors
    /// What the list fails with.
    pub async fn pages(&self, component_appid: &str) -> Result<MerchantPages, QueryFault> {
        let seen = self.seen().await?;
        let opened = async {
            let mut connection = self.store.merchant_connection(TIMEOUT_MS).await?;
            foreign::within(TIMEOUT_MS, async {
                connection.execute(include_str!("sql/foreign_begin.sql")).await?;
                let statement = AssertSqlSafe(seen.statement.expose_secret());
                sqlx::query(statement).bind(component_appid).execute(&mut connection).await
            })
            .await?;
            Ok(MerchantPages { connection })
        };
        opened.await.map_err(|error: sqlx::Error| unlisted(&error))
    }
}

impl MerchantPages {
    /// The next merchants, in the query's own order; `None`: the list is read to its end.
    ///
    /// # Errors
    /// What the list fails with; it can not be read on.
    pub async fn next(&mut self) -> Result<Option<MerchantPage>, QueryFault> {
        let page = sqlx::query_as(include_str!("sql/merchant_list_page.sql")).fetch_all(&mut self.connection);
        let listed: Vec<Listed> = foreign::within(TIMEOUT_MS, page).await.map_err(|error| unlisted(&error))?;
        if listed.is_empty() {
            return Ok(None);
        }
        let mut page = MerchantPage::default();
        for row in listed {
            match row.appid.as_deref().map(appid) {
                Some(Ok(appid)) => {
                    let (row, unreadable) = row.read(appid);
                    page.unreadable += unreadable;
                    page.rows.push(row);
                }
                Some(Err(_)) | None => page.nameless += 1,
            }
        }
        Ok(Some(page))
    }

    /// Ends the reading in order. Dropping it does too, a moment later.
    pub async fn close(self) {
        self.connection.close().await.ok();
    }
}

impl Listed {
    /// The merchant, and how many of its values can not be read.
    fn read(self, appid: String) -> (MerchantRow, u64) {
        let mut unreadable = 0;
        let mut fault = || unreadable += 1;
        let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let kind = filled(self.kind).and_then(|word| word.parse::<Kind>().map_err(|_| fault()).ok());
        let permission_sets = filled(self.permission_sets).and_then(|text| {
            sets(&text).or_else(|| {
                fault();
                None
            })
        });
        let account_status = self.account_status.and_then(|status| i32::try_from(status).map_err(|_| fault()).ok());
        let authorized_at = self.authorized_at.and_then(|secs| {
            #[expect(clippy::cast_possible_truncation, reason = "what is out of bounds is no instant, and left out")]
            let instant = secs.is_finite().then(|| chrono::DateTime::from_timestamp(secs as i64, 0)).flatten();
            if instant.is_none() {
                fault();
            }
            instant
        });
        let row = MerchantRow {
            appid,
            kind: kind.filter(|kind| *kind != Kind::Unknown),
            nickname: filled(self.nickname),
            principal: filled(self.principal),
            permission_sets,
            account_status,
            authorized_at,
            refresh_token: None,
            asked_at: None,
        };
        (row, unreadable)
    }
}

/// Permission sets as an array's, a JSON array's or a list's text has them; none at all is an empty list, and no fault.
fn sets(text: &str) -> Option<Vec<i32>> {
    let separates = |letter: char| letter.is_whitespace() || "{}[],;\"'".contains(letter);
    text.split(separates).filter(|word| !word.is_empty()).map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_sets_are_read_however_they_are_written() {
        for text in ["{33,49}", "[33, 49]", "33;49", "33 49", "[\"33\", \"49\"]", "{\"33\",\"49\"}"] {
            assert_eq!(sets(text), Some(vec![33, 49]), "{text}");
        }
        assert_eq!(sets("{}"), Some(Vec::new()));
        for text in ["all", "{33,x}", "33.5", "99999999999"] {
            assert_eq!(sets(text), None, "{text}");
        }
    }
}
