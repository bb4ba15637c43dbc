//! Which database this is. After a restore or a fail-over intents may be lost, so messages wait for an operator.

use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

use sqlx::{Executor, FromRow, Postgres};

use super::{Store, StoreError};
use crate::domain::CheckName;

/// Why messages wait, as operators read it; the views know these holds by it (`wxpatrol.attention`).
pub const HOLD_REASON: &str = "the database was restored or failed over: compare the intents with reality, then resume";

/// What looking at the identity showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Never seen before; kept.
    First,
    /// As before.
    Same,
    /// Another Postgres, another timeline of the same, or tables that were made anew: the messages of every platform are held.
    Changed,
}

/// How much of the identity this role may read.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The control data is refused: what is left tells a fail-over, and most restores.
    partly: AtomicBool,
}

#[derive(Debug, Clone, FromRow)]
struct Database {
    /// Empty: not readable.
    system_identifier: String,
    timeline: i32,
    database_oid: Option<i64>,
    intents_oid: Option<i64>,
}

impl Database {
    /// Whether anything that is known of both tells them apart.
    fn differs(&self, other: &Self) -> bool {
        let differ = |one: Option<i64>, other: Option<i64>| one.zip(other).is_some_and(|(one, other)| one != other);
        let named = !self.system_identifier.is_empty() && !other.system_identifier.is_empty();
        named && self.system_identifier != other.system_identifier
            || self.timeline != other.timeline
            || differ(self.database_oid, other.database_oid)
            || differ(self.intents_oid, other.intents_oid)
    }

    /// Whether it is to be kept in place of what is known: it is another one, or tells more of the same.
    fn is_news_to(&self, known: &Self) -> bool {
        self.differs(known)
            || known.system_identifier.is_empty() && !self.system_identifier.is_empty()
            || known.database_oid.is_none()
            || known.intents_oid.is_none()
    }
}

/// 42501: not allowed; 42883: a service that looks like Postgres has no such function.
fn refused(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501" || code == "42883")
}

impl Store {
    /// Compares the database's identity with the one that was seen last, and holds the checks that message people when
    /// it has changed; that is said in the log. May be repeated, and by several processes at once: one of them sees the change.
    ///
    /// # Errors
    /// Postgres did not answer: nothing was changed.
    pub async fn compare_identity(&self) -> Result<Identity, StoreError> {
        let now = match self.read_identity(&self.pool).await {
            Err(error) if refused(&error) && !self.reach.partly.swap(true, Ordering::Relaxed) => {
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(
                        "this role may not read Postgres's control data: a restore into another cluster could go unnoticed. \
                         Grant it execute on pg_control_system()"
                    );
                });
                self.read_identity(&self.pool).await?
            }
            read => read?,
        };
        let known: Option<Database> =
            sqlx::query_as(include_str!("sql/identity_known.sql")).fetch_optional(&self.pool).await?;
        match known {
            Some(known) if !now.is_news_to(&known) => Ok(Identity::Same),
            _ => self.keep_identity(&now).await,
        }
    }

    /// Whether the database that this connection leads to is another one than was seen last: whoever messages people asks
    /// on the connection on which it writes that down. A database that nobody has looked at yet is no other one.
    pub(super) async fn is_another(&self, connection: &mut super::pool::Transaction) -> Result<bool, StoreError> {
        let known: Option<Database> =
            sqlx::query_as(include_str!("sql/identity_known.sql")).fetch_optional(&mut **connection).await?;
        let Some(known) = known else { return Ok(false) };
        Ok(self.read_identity(&mut **connection).await?.differs(&known))
    }

    async fn read_identity<'e, E>(&self, executor: E) -> Result<Database, sqlx::Error>
    where
        E: Executor<'e, Database = Postgres>,
    {
        let statement = if self.reach.partly.load(Ordering::Relaxed) {
            include_str!("sql/identity_read_partly.sql")
        } else {
            include_str!("sql/identity_read.sql")
        };
        sqlx::query_as(statement).fetch_one(executor).await
    }

    async fn keep_identity(&self, now: &Database) -> Result<Identity, StoreError> {
        let bound = |statement| {
            sqlx::query(statement)
                .bind(now.system_identifier.clone())
                .bind(now.timeline)
                .bind(now.database_oid)
                .bind(now.intents_oid)
        };
        let first = bound(include_str!("sql/identity_first.sql")).execute(&self.pool).await?;
        if first.rows_affected() == 1 {
            return Ok(Identity::First);
        }
        let mut transaction = self.pool.begin().await?;
        sqlx::query(include_str!("sql/identity_lock.sql")).execute(&mut *transaction).await?;
        let known: Database =
            sqlx::query_as(include_str!("sql/identity_known.sql")).fetch_one(&mut *transaction).await?;
        if !now.is_news_to(&known) {
            return Ok(Identity::Same);
        }
        let changed = now.differs(&known);
        if changed {
            let checks: Vec<&str> =
                CheckName::ALL.iter().filter(|check| check.messages_people()).map(|check| check.name()).collect();
            sqlx::query(include_str!("sql/identity_hold.sql"))
                .bind(checks)
                .bind(HOLD_REASON)
                .execute(&mut *transaction)
                .await?;
        }
        bound(include_str!("sql/identity_changed.sql")).execute(&mut *transaction).await?;
        transaction.commit().await?;
        if !changed {
            return Ok(Identity::Same);
        }
        tracing::error!(
            "the database was restored or failed over: ask and invite are held until `wxpatrol resume --check ask --check invite`"
        );
        Ok(Identity::Changed)
    }
}
#[cfg(all(test, feature = "demo"))]
mod tests {
    use super::*;
    use crate::store::{operator::HoldTarget, testing::TestDatabase};

    async fn held(database: &TestDatabase) -> Vec<String> {
        let platform = database.store.platform("wxcomponent").await.expect("Postgres answers");
        let holds = database.store.holds(platform).await.expect("Postgres answers");
        assert!(holds.iter().all(|hold| hold.reason == HOLD_REASON && hold.until.is_none()));
        holds.into_iter().filter_map(|hold| hold.check_name).collect()
    }

    #[tokio::test]
    async fn another_database_holds_the_messages_once_until_an_operator_resumes_them() {
        let database = TestDatabase::new().await;
        let store = &database.store;
        let platform = store.platform("wxcomponent").await.unwrap();
        assert_eq!(store.compare_identity().await.unwrap(), Identity::First);
        assert_eq!(store.compare_identity().await.unwrap(), Identity::Same);
        for (before, partly) in [
            ("timeline = timeline - 1", false),
            ("timeline = timeline - 1", true),
            ("system_identifier = '1'", false),
            ("database_oid = database_oid - 1", false),
            ("intents_oid = intents_oid - 1", true),
        ] {
            store.reach.partly.store(partly, Ordering::Relaxed);
            let was = format!("update wxpatrol_data.cluster_identity set {before}");
            sqlx::query(sqlx::AssertSqlSafe(was)).execute(&database.pool).await.unwrap();
            assert_eq!(store.compare_identity().await.unwrap(), Identity::Changed, "{before}");
            assert_eq!(store.compare_identity().await.unwrap(), Identity::Same, "{before}");
            assert_eq!(held(&database).await, ["ask", "invite"], "{before}");
            let targets = [CheckName::Ask, CheckName::Invite]
                .map(|check| HoldTarget { check: Some(check), ..HoldTarget::default() });
            assert_eq!(store.resume(platform, &targets, None, "me").await.unwrap(), 2);
        }
    }

    #[tokio::test]
    async fn what_nobody_could_read_before_is_kept_and_holds_nobody() {
        let database = TestDatabase::new().await;
        let store = &database.store;
        store.reach.partly.store(true, Ordering::Relaxed);
        assert_eq!(store.compare_identity().await.unwrap(), Identity::First);
        // An older binary did not look at the numbers.
        let older = "update wxpatrol_data.cluster_identity set database_oid = null, intents_oid = null";
        sqlx::query(older).execute(&database.pool).await.unwrap();
        store.reach.partly.store(false, Ordering::Relaxed);
        assert_eq!(store.compare_identity().await.unwrap(), Identity::Same);
        let known: bool = sqlx::query_scalar(
            "select system_identifier <> '' and database_oid > 0 and intents_oid > 0 from wxpatrol_data.cluster_identity",
        )
        .fetch_one(&database.pool)
        .await
        .unwrap();
        assert!(known);
        assert!(held(&database).await.is_empty());
    }

    #[tokio::test]
    async fn a_dump_that_is_restored_into_the_same_server_is_another_database() {
        let (before, after) = (TestDatabase::new().await, TestDatabase::new().await);
        before.store.compare_identity().await.unwrap();
        let known: (String, i32, i64, i64) =
            sqlx::query_as(include_str!("sql/identity_known.sql")).fetch_one(&before.store.pool).await.unwrap();
        // The rows are those of the dump, the database is not.
        let (system_identifier, timeline, database_oid, intents_oid) = known;
        sqlx::query(include_str!("sql/identity_first.sql"))
            .bind(system_identifier)
            .bind(timeline)
            .bind(database_oid)
            .bind(intents_oid)
            .execute(&after.store.pool)
            .await
            .unwrap();
        assert_eq!(after.store.compare_identity().await.unwrap(), Identity::Changed);
    }

    #[tokio::test]
    async fn what_is_held_since_a_restore_stands_in_the_attention_view_until_it_is_resumed() {
        let database = TestDatabase::new().await;
        let store = &database.store;
        let platform = store.platform("wxcomponent").await.unwrap();
        // The checks that attention tells of, and who is to act.
        let rows = "select check_name || ' ' || actor from wxpatrol.attention
                     where (why = 'database_restored' and since is not null and detail <> ''
                            and what_en like '%wxpatrol resume --check ask --check invite%'
                            and what_zh like '%wxpatrol resume --check ask --check invite%')
                        or why = 'hold_old'
                     order by 1";
        let told = async || sqlx::query_scalar::<_, String>(rows).fetch_all(&database.pool).await.unwrap();
        store.compare_identity().await.unwrap();
        let before = "update wxpatrol_data.cluster_identity set timeline = timeline - 1";
        sqlx::query(before).execute(&database.pool).await.unwrap();
        assert_eq!(store.compare_identity().await.unwrap(), Identity::Changed);
        assert_eq!(told().await, ["ask operator", "invite operator"]);
        // When it is old it is no second trouble.
        database.advance(std::time::Duration::from_secs(40 * 24 * 3600)).await;
        assert_eq!(told().await, ["ask operator", "invite operator"]);
        let targets =
            [CheckName::Ask, CheckName::Invite].map(|check| HoldTarget { check: Some(check), ..HoldTarget::default() });
        assert_eq!(store.resume(platform, &targets, None, "me").await.unwrap(), 2);
        assert!(told().await.is_empty());
    }
}
