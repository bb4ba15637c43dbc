//! The schema: migrations embedded in the binary, and what a binary does on a schema that is not its own.

use sqlx::migrate::Migrator;

use super::{Store, StoreError};
use crate::domain::errcode::{self, Scope};

/// The newest schema step that this binary knows. Each migration that adds a step says which older binaries may go on.
const SCHEMA_STEP: i32 = 2;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

fn migrator() -> Migrator {
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.dangerous_set_table_name("wxpatrol_data._migration");
    migrator.create_schema("wxpatrol_data");
    migrator.set_ignore_missing(true);
    migrator
}

/// The migrations as one text, in order, for a review.
#[must_use]
pub fn printed() -> String {
    MIGRATIONS
        .iter()
        .map(|migration| format!("-- {} {}\n{}\n", migration.version, migration.description, migration.sql.as_str()))
        .collect()
}

impl Store {
    /// Brings the schema and the runbook to this binary's state. A second process waits for the first. May be repeated.
    ///
    /// # Errors
    /// The schema is newer than this binary may work on, or Postgres refused a migration.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.refuse_newer_schema().await?;
        let mut connection = self.pool.acquire().await?;
        migrator().run_direct(None, &mut *connection, false).await.map_err(|error| {
            StoreError::Inconsistent(format!("the schema could not be brought up to date: {error}"))
        })?;
        drop(connection);
        self.refuse_newer_schema().await?;
        self.write_runbook().await
    }

    async fn refuse_newer_schema(&self) -> Result<(), StoreError> {
        let known: bool = sqlx::query_scalar(include_str!("sql/schema_step_exists.sql")).fetch_one(&self.pool).await?;
        if !known {
            return Ok(());
        }
        let newer: Option<i32> = sqlx::query_scalar(include_str!("sql/schema_step_newer.sql"))
            .bind(SCHEMA_STEP)
            .fetch_one(&self.pool)
            .await?;
        match newer {
            Some(step) => Err(StoreError::Inconsistent(format!(
                "the database has schema step {step}, which this binary (step {SCHEMA_STEP}) is too old for: install the newer wxpatrol"
            ))),
            None => Ok(()),
        }
    }

    /// Writes the program's own table of errcodes to `errcode`, where reports join it.
    async fn write_runbook(&self) -> Result<(), StoreError> {
        let mut codes = Vec::new();
        let mut columns: [Vec<&str>; 7] = Default::default();
        for row in errcode::all() {
            let endpoints = match row.scope {
                Scope::Any => vec![""],
                Scope::Only(endpoints) => endpoints.iter().map(|endpoint| endpoint.name()).collect(),
            };
            for endpoint in endpoints {
                codes.push(row.code);
                let class = row.class.name();
                let texts =
                    [endpoint, class, row.meaning_zh, row.meaning_en, row.remedy_zh, row.remedy_en, row.actor.name()];
                for (column, text) in columns.iter_mut().zip(texts) {
                    column.push(text);
                }
            }
        }
        let mut statement = sqlx::query(include_str!("sql/runbook_write.sql")).bind(codes);
        for column in columns {
            statement = statement.bind(column);
        }
        statement.execute(&self.pool).await?;
        Ok(())
    }
}
