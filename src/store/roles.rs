//! Roles with the least rights: `wxpatrol_worker` for processes that work, `wxpatrol_reader` for people who read the views.
//! Nobody logs in with them: logins are put into them.

use super::{Store, StoreError};

const CREATE: &str = include_str!("sql/roles_create.sql");
const GRANT: &str = include_str!("sql/roles_grant.sql");

/// The SQL of the roles as one text, for a review or for whoever may create roles.
#[must_use]
pub fn printed() -> String {
    format!(
        "-- After `wxpatrol migrate`, in wxpatrol's database, as a superuser, or as the owner of its schemas with the right\n\
         -- to create roles. May be repeated. Then put logins into the roles:\n\
         --   create role patrol_login login; grant wxpatrol_worker to patrol_login;\n\n\
         {CREATE};\n\n{GRANT};\n"
    )
}

/// Whether Postgres refused for lack of rights.
pub(super) fn not_allowed(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501")
}

/// What became of the roles' rights after a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The roles are not set up in this database.
    Unused,
    /// They have their rights on everything.
    Done,
    /// This login does not own everything.
    NotAllowed,
}

impl Store {
    /// Makes the roles where they are missing, and gives them their rights in this database. May be repeated.
    ///
    /// # Errors
    /// This login may not do that: one sentence says who can, and with which SQL.
    pub async fn make_roles(&self) -> Result<(), StoreError> {
        let owners = self.owners_in_the_way().await?;
        if !owners.is_empty() {
            return Err(StoreError::Inconsistent(format!(
                "this login may not hand out rights on what {} owns: repeat this as that role or as a superuser, or run \
                 what `wxpatrol migrate --roles --print` prints",
                owners.join(" and ")
            )));
        }
        let missing: Vec<String> =
            sqlx::query_scalar(include_str!("sql/roles_missing.sql")).fetch_all(&self.pool).await?;
        if !missing.is_empty() {
            match sqlx::query(CREATE).execute(&self.pool).await {
                Ok(_) => {}
                Err(error) if not_allowed(&error) => {
                    let wanted: Vec<String> =
                        missing.iter().map(|role| format!("create role {role} nologin;")).collect();
                    return Err(StoreError::Inconsistent(format!(
                        "this login may not create roles: let a database administrator say `{}` and repeat `wxpatrol \
                         migrate --roles`, or run the whole of what `wxpatrol migrate --roles --print` prints",
                        wanted.join(" ")
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
        sqlx::query(GRANT).execute(&self.pool).await?;
        Ok(())
    }

    /// Gives the roles their rights on what migrations have made since, where they are set up in this database and this
    /// login may do so. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: nothing was changed.
    pub async fn renew_roles(&self) -> Result<Renewal, StoreError> {
        if !sqlx::query_scalar(include_str!("sql/roles_used.sql")).fetch_one(&self.pool).await? {
            return Ok(Renewal::Unused);
        }
        let owners = self.owners_in_the_way().await?;
        if !owners.is_empty() {
            return Ok(Renewal::NotAllowed);
        }
        sqlx::query(GRANT).execute(&self.pool).await?;
        Ok(Renewal::Done)
    }

    /// Whose rights this login lacks. Without this look Postgres would only warn, and grant nothing.
    async fn owners_in_the_way(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(include_str!("sql/roles_barrier.sql")).fetch_all(&self.pool).await?)
    }
}
