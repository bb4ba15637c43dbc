//! Which Postgres this is. After a restore or a fail-over intents may be lost, so messages wait for an operator.

use std::sync::Once;

use sqlx::FromRow;

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
    /// Another Postgres, or another timeline of the same: the messages of every platform are held.
    Changed,
    /// This role may not read it: nothing is known and nothing is held.
    Unreadable,
}

#[derive(Debug, PartialEq, Eq, FromRow)]
struct Cluster {
    system_identifier: String,
    timeline: i32,
}

/// 42501: not allowed; 42883: a service that looks like Postgres has no such function.
fn refused(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501" || code == "42883")
}

impl Store {
    /// Compares the database's identity with the one that was seen last, and holds the checks that message people when
    /// it has changed. May be repeated, and by several processes at once: one of them sees the change.
    ///
    /// # Errors
    /// Postgres did not answer: nothing was changed.
    pub async fn compare_identity(&self) -> Result<Identity, StoreError> {
        let read = sqlx::query_as(include_str!("sql/identity_read.sql")).fetch_one(&self.pool).await;
        let now: Cluster = match read {
            Ok(cluster) => cluster,
            Err(error) if refused(&error) => {
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(
                        "this role may not read Postgres's control data: a restore or a fail-over would go unnoticed. \
                         Grant it execute on pg_control_system() and pg_control_checkpoint()"
                    );
                });
                return Ok(Identity::Unreadable);
            }
            Err(error) => return Err(error.into()),
        };
        self.keep_identity(&now).await
    }

    async fn keep_identity(&self, now: &Cluster) -> Result<Identity, StoreError> {
        let first = sqlx::query(include_str!("sql/identity_first.sql"))
            .bind(&now.system_identifier)
            .bind(now.timeline)
            .execute(&self.pool)
            .await?;
        if first.rows_affected() == 1 {
            return Ok(Identity::First);
        }
        let mut transaction = self.pool.begin().await?;
        let known: Cluster =
            sqlx::query_as(include_str!("sql/identity_known.sql")).fetch_one(&mut *transaction).await?;
        if known == *now {
            return Ok(Identity::Same);
        }
        let checks: Vec<&str> =
            CheckName::ALL.iter().filter(|check| check.messages_people()).map(|check| check.name()).collect();
        sqlx::query(include_str!("sql/identity_hold.sql"))
            .bind(checks)
            .bind(HOLD_REASON)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(include_str!("sql/identity_changed.sql"))
            .bind(&now.system_identifier)
            .bind(now.timeline)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Identity::Changed)
    }
}

#[cfg(all(test, feature = "demo"))]
mod tests {
    use super::*;
    use crate::store::{operator::HoldTarget, testing::TestDatabase};

    #[tokio::test]
    async fn another_timeline_holds_the_messages_once_until_an_operator_resumes_them() {
        let database = TestDatabase::new().await;
        let store = &database.store;
        let platform = store.platform("wxcomponent").await.unwrap();
        assert_eq!(store.compare_identity().await.unwrap(), Identity::First);
        assert_eq!(store.compare_identity().await.unwrap(), Identity::Same);
        sqlx::query("update wxpatrol_data.cluster_identity set timeline = timeline - 1")
            .execute(&database.pool)
            .await
            .unwrap();

        // The checks that attention tells of, and who is to act.
        let rows = "select check_name || ' ' || actor from wxpatrol.attention
                     where (why = 'database_restored' and since is not null and detail <> ''
                            and what_en like '%wxpatrol resume --check ask --check invite%'
                            and what_zh like '%wxpatrol resume --check ask --check invite%')
                        or why = 'hold_old'
                     order by 1";
        let told = async || sqlx::query_scalar::<_, String>(rows).fetch_all(&database.pool).await.unwrap();
        assert_eq!(store.compare_identity().await.unwrap(), Identity::Changed);
        assert_eq!(store.compare_identity().await.unwrap(), Identity::Same);
        let holds = store.holds(platform).await.unwrap();
        assert_eq!(holds.iter().filter_map(|hold| hold.check_name.as_deref()).collect::<Vec<_>>(), ["ask", "invite"]);
        assert!(holds.iter().all(|hold| hold.reason == HOLD_REASON && hold.until.is_none()));
        assert_eq!(told().await, ["ask operator", "invite operator"]);

        let targets =
            [CheckName::Ask, CheckName::Invite].map(|check| HoldTarget { check: Some(check), ..HoldTarget::default() });
        // When it is old it is no second trouble.
        database.advance(std::time::Duration::from_secs(40 * 24 * 3600)).await;
        assert_eq!(told().await, ["ask operator", "invite operator"]);
        assert_eq!(store.resume(platform, &targets, None, "me").await.unwrap(), 2);
        assert!(told().await.is_empty());
    }
}
