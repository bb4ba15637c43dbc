//! Whole databases, for the demo and for tests: made and dropped on the server of the private Postgres.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Store, StoreError};

/// Names that need no quoting and can hold no SQL.
fn plain(name: &str) -> Result<&str, StoreError> {
    let letters = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if letters && !name.is_empty() {
        return Ok(name);
    }
    Err(StoreError::Inconsistent(format!("{name:?} is no name for a database of the demo")))
}

impl Store {
    /// Makes an empty database. `url` names any other database of the server.
    ///
    /// # Errors
    /// Postgres did not answer, or the name is taken.
    pub async fn create_database(url: &str, name: &str) -> Result<(), StoreError> {
        let mut connection = PgConnection::connect(url).await?;
        let statement = format!("create database {}", plain(name)?);
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Drops a database, whoever is connected to it. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn drop_database(url: &str, name: &str) -> Result<(), StoreError> {
        let mut connection = PgConnection::connect(url).await?;
        let statement = format!("drop database if exists {} with (force)", plain(name)?);
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}
