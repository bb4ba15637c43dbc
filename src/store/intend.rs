//! Writing a message down before it is made: fence, lease, hold, withdrawal, quiet hours, maximum and the day's cap are
//! checked in the one transaction that inserts the intent.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError, claim::Claim, pool::Transaction};
use crate::domain::{
    CheckName,
    message::{MessageFacts, MessagePolicy, Permission},
    platform_time,
};

/// The answer to the wish to message somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intended {
    /// Written down; make the call now, once.
    Yes {
        /// The intent's number.
        number: i32,
        /// Whether the invitation tells the official account's followers.
        notify_users: bool,
        /// Whether the mini program shows on the official account's page.
        show_profile: bool,
    },
    /// Not now, or not at all.
    Refused(Permission),
    /// The lease is lost or too short for the call: the claim is somebody else's.
    LeaseLost,
    /// An invitation of this pair is written down, its process died before it was recorded: it counts as sent, and
    /// readings settle it.
    Unsettled,
}

#[derive(FromRow)]
struct LeasedItem {
    now: DateTime<Utc>,
    withdrawn: bool,
    held: bool,
}

#[derive(FromRow)]
struct Past {
    number: Option<i32>,
    last_at: Option<DateTime<Utc>>,
    counted: i64,
    unsettled: bool,
}

#[derive(Default)]
struct Wanted {
    wanted: bool,
    granted: u32,
    notify_users: bool,
    show_profile: bool,
}

impl Store {
    /// Writes the intent of a message that is about to be made, if it may be made. The call must end within `call_max`.
    /// Not to be repeated for one call: each `Yes` is a message.
    ///
    /// # Errors
    /// Postgres did not answer: nothing may be sent. Should the commit have arrived all the same, the intent stays
    /// unknown and counts as made.
    pub async fn intend(
        &self,
        claim: &Claim,
        policy: &MessagePolicy,
        call_max: Duration,
    ) -> Result<Intended, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(include_str!("sql/intend_durable.sql")).execute(&mut *transaction).await?;
        let key = &claim.key;
        let item: Option<LeasedItem> = sqlx::query_as(include_str!("sql/intend_item.sql"))
            .bind(key.platform)
            .bind(&key.appid)
            .bind(key.check.name())
            .bind(&key.counterpart)
            .bind(claim.fence)
            .bind(self.process_id)
            .bind(key.check.endpoint().name())
            .bind(call_max.as_secs_f64())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(item) = item else { return Ok(Intended::LeaseLost) };
        let past: Past = sqlx::query_as(include_str!("sql/intend_past.sql"))
            .bind(key.platform)
            .bind(&key.appid)
            .bind(key.check.name())
            .bind(&key.counterpart)
            .fetch_one(&mut *transaction)
            .await?;
        if past.unsettled {
            return Ok(Intended::Unsettled);
        }
        let wanted = wanted(&mut transaction, claim).await?;
        let day = platform_time::day(item.now);
        let used_today: i32 = sqlx::query_scalar(include_str!("sql/intend_day.sql"))
            .bind(key.platform)
            .bind(key.check.name())
            .bind(day)
            .fetch_one(&mut *transaction)
            .await?;
        let facts = MessageFacts {
            wanted: wanted.wanted,
            withdrawn: item.withdrawn,
            held: item.held,
            last_at: past.last_at,
            counted: u32::try_from(past.counted).unwrap_or(u32::MAX),
            granted: wanted.granted,
            used_today: u32::try_from(used_today).unwrap_or(0),
        };
        match policy.decide(&facts, item.now) {
            Permission::Granted => {}
            refusal @ (Permission::Later { .. } | Permission::No { .. }) => return Ok(Intended::Refused(refusal)),
        }
        let number = past.number.unwrap_or(0) + 1;
        sqlx::query(include_str!("sql/intend_take.sql"))
            .bind(key.platform)
            .bind(key.check.name())
            .bind(day)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(include_str!("sql/intend_write.sql"))
            .bind(key.platform)
            .bind(key.check.name())
            .bind(&key.appid)
            .bind(&key.counterpart)
            .bind(number)
            .bind(item.now)
            .bind(call_max.as_secs_f64())
            .bind(self.process_id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Intended::Yes { number, notify_users: wanted.notify_users, show_profile: wanted.show_profile })
    }
}

async fn wanted(transaction: &mut Transaction, claim: &Claim) -> Result<Wanted, StoreError> {
    let key = &claim.key;
    let wanted = match key.check {
        CheckName::Ask => {
            let row: Option<(bool, i32)> = sqlx::query_as(include_str!("sql/intend_ask_wanted.sql"))
                .bind(key.platform)
                .bind(&key.appid)
                .fetch_optional(&mut **transaction)
                .await?;
            row.map(|(wanted, granted)| Wanted {
                wanted,
                granted: u32::try_from(granted).unwrap_or(0),
                ..Wanted::default()
            })
        }
        CheckName::Invite => {
            let row: Option<(Option<bool>, bool, bool)> = sqlx::query_as(include_str!("sql/intend_invite_wanted.sql"))
                .bind(key.platform)
                .bind(&key.appid)
                .bind(&key.counterpart)
                .fetch_optional(&mut **transaction)
                .await?;
            row.map(|(wanted, notify_users, show_profile)| Wanted {
                wanted: wanted.unwrap_or(false),
                granted: 0,
                notify_users,
                show_profile,
            })
        }
        CheckName::Phone | CheckName::Callback | CheckName::Links => None,
    };
    Ok(wanted.unwrap_or_default())
}
