//! Why a query of the operator's own could not be asked, in words that repeat nothing of it and nothing of its answer.

use std::time::Duration;

use sqlx::{Either, Statement as _, postgres::PgStatement};

use super::TIMEOUT_MS;

/// How much longer than the server's own time limit an answer is waited for. In tests long: they ask for the server's word, and a
/// machine that stands still for seconds must not come before it.
const GRACE: Duration = Duration::from_secs(if cfg!(test) { 120 } else { 5 });

/// Why a query could not be looked at, or asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct QueryFault {
    /// Half a sentence that repeats no value.
    pub(in crate::store) fault: String,
    /// Whether it may pass by itself (a lock, a time-out, a Postgres that is away), so that it is nobody's to mend.
    pub(in crate::store) passing: bool,
}

impl QueryFault {
    /// The query itself is wrong.
    pub(in crate::store) fn refused(fault: String) -> Self {
        Self { fault, passing: false }
    }

    /// Postgres did not prepare it.
    pub(in crate::store) fn of(error: &sqlx::Error) -> Self {
        match passing(error) {
            true => Self { fault: said(error), passing: true },
            false => Self::refused(unprepared(error)),
        }
    }
}

/// An answer of Postgres's, or the fault that it did not come within the server's own time limit and a while: where a server or the
/// way to it is gone without a word, nobody else would end the wait.
pub(in crate::store) async fn within<T>(
    limit_ms: u32,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_| sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut));
    tokio::time::timeout(Duration::from_millis(limit_ms.into()) + GRACE, answer).await.map_err(silent)?
}

/// Whether a fault is not the query's own. 55: a lock; 57: cancelled or shut down; 53: out of something; 40: rolled back; 08 and
/// none: no connection.
pub(in crate::store) fn passing(error: &sqlx::Error) -> bool {
    code(error).is_none_or(|code| ["55", "57", "53", "40", "08"].contains(&code.get(..2).unwrap_or("")))
}

/// The highest parameter that a prepared query holds, or the number that was told of it where that is more.
pub(in crate::store) fn parameters(prepared: &PgStatement) -> usize {
    match prepared.parameters() {
        Some(Either::Left(types)) => types.len(),
        Some(Either::Right(count)) => count,
        None => 0,
    }
}

pub(in crate::store) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

/// What went wrong when it ran. Postgres's own words may repeat a value, so only its code is said.
pub(in crate::store) fn said(error: &sqlx::Error) -> String {
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
pub(in crate::store) fn unprepared(error: &sqlx::Error) -> String {
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
