//! The schema: migrations embedded in the binary, and what a binary does on a schema that is not its own.

use std::collections::HashMap;

use sqlx::migrate::{MigrateError, Migrator};

use super::{Store, StoreError, roles};
use crate::domain::errcode::{self, Scope};

/// The newest schema step that this binary knows. Each migration that adds a step says which older binaries may go on.
const SCHEMA_STEP: i32 = 2;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The schema is made only where there is none: asking for it again would want a right that only its maker needs.
fn migrator(schema_exists: bool) -> Migrator {
    let mut migrator = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    migrator.dangerous_set_table_name("wxpatrol_data._migration");
    if !schema_exists {
        migrator.create_schema("wxpatrol_data");
    }
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
    /// Brings the schema to this binary's state, and a schema that was not there yet has the runbook. A second process waits for
    /// the first. On a schema that is up to date nothing is asked for but to read rows. May be repeated.
    ///
    /// # Errors
    /// The schema is newer than this binary may work on, Postgres refused a migration, or this login may not change the
    /// schema: one sentence says who can.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self.missing_migrations().await {
            Ok(0) => self.refuse_newer_schema().await?,
            Ok(missing) => {
                self.apply_migrations(missing).await?;
                self.renew_runbook().await?;
            }
            Err(error) if roles::not_allowed(&error) => return Err(self.closed_schema().await?),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Brings the runbook to this binary's state, where no newer one has changed the schema: an older one that still works there
    /// knows fewer codes. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn renew_runbook(&self) -> Result<(), StoreError> {
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        let applied: Vec<(i64, Vec<u8>, bool)> =
            sqlx::query_as(include_str!("sql/migrations_applied.sql")).fetch_all(&self.pool).await?;
        if applied.iter().map(|(version, ..)| *version).max() > newest {
            return Ok(());
        }
        self.write_runbook().await
    }

    /// How many of this binary's migrations the database does not have, or not as this binary knows them.
    pub(super) async fn missing_migrations(&self) -> Result<usize, sqlx::Error> {
        if !sqlx::query_scalar(include_str!("sql/schema_step_exists.sql")).fetch_one(&self.pool).await? {
            return Ok(MIGRATIONS.iter().count());
        }
        let applied: Vec<(i64, Vec<u8>, bool)> =
            sqlx::query_as(include_str!("sql/migrations_applied.sql")).fetch_all(&self.pool).await?;
        let applied: HashMap<i64, Vec<u8>> =
            applied.into_iter().filter(|(_, _, whole)| *whole).map(|(version, sum, _)| (version, sum)).collect();
        let there = |version: &i64, sum: &[u8]| applied.get(version).is_some_and(|known| known == sum);
        Ok(MIGRATIONS.iter().filter(|migration| !there(&migration.version, &migration.checksum)).count())
    }

    async fn apply_migrations(&self, missing: usize) -> Result<(), StoreError> {
        self.refuse_newer_schema().await?;
        let (login, owner) = self.schema_owner().await?;
        let mut connection = self.pool.acquire_unbounded().await?;
        let applied = migrator(owner.is_some()).run_direct(None, &mut *connection, false).await;
        drop(connection);
        match applied {
            Ok(()) => {}
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if roles::not_allowed(&error) =>
            {
                return Err(StoreError::Inconsistent(match owner {
                    Some(owner) => format!(
                        "the database lacks {missing} of this program's migrations, and {login} may not change the schema: \
                         let {owner}, who owns it, run `wxpatrol migrate` with this version, then start again"
                    ),
                    None => format!(
                        "the database has no schema of wxpatrol yet, and {login} may not make one: let a role that may \
                         create schemas in this database run `wxpatrol migrate`, then start again"
                    ),
                }));
            }
            Err(error) => {
                return Err(StoreError::Inconsistent(format!("the schema could not be brought up to date: {error}")));
            }
        }
        self.refuse_newer_schema().await?;
        if self.renew_roles().await? == roles::Renewal::NotAllowed {
            tracing::warn!(
                "the schema is new, the roles' rights are not: let its owner run `wxpatrol migrate --roles`"
            );
        }
        Ok(())
    }

    /// The refusal of a login that may not even read which migrations there are.
    async fn closed_schema(&self) -> Result<StoreError, StoreError> {
        let (login, owner) = self.schema_owner().await?;
        let owner = owner.unwrap_or_else(|| "its owner".to_owned());
        Ok(StoreError::Inconsistent(format!(
            "{login} may not use the tables of wxpatrol: let {owner} run `wxpatrol migrate --roles`, then say `grant \
                         wxpatrol_worker to {login}`"
        )))
    }

    /// This login, and the owner of the tables when there are any.
    async fn schema_owner(&self) -> Result<(String, Option<String>), StoreError> {
        Ok(sqlx::query_as(include_str!("sql/schema_owner.sql")).fetch_one(&self.pool).await?)
    }

    pub(super) async fn refuse_newer_schema(&self) -> Result<(), StoreError> {
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
