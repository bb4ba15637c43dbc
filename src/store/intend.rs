//! Writing messages down before they are made: fence, lease, hold, withdrawal, quiet hours, maximum and the day's cap are
//! checked in the one transaction that inserts the intents.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError, claim::Claim, pool::Transaction};
use crate::domain::{
    CheckName, ItemKey, PlatformId,
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
        /// Not later than the moment from which `call_max` counts.
        written_at: Instant,
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

/// A claimed item whose message is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The item.
    pub key: Arc<ItemKey>,
    /// Proof of the lease.
    pub fence: i64,
}

impl Leased {
    /// That of a claim.
    #[must_use]
    pub fn of(claim: &Claim) -> Self {
        Self { key: Arc::clone(&claim.key), fence: claim.fence }
    }
}

#[derive(FromRow)]
struct LeasedItem {
    ordinal: i64,
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

#[derive(FromRow, Default)]
struct Wanted {
    ordinal: i64,
    wanted: bool,
    granted: i32,
    notify_users: bool,
    show_profile: bool,
}

/// An item whose lease holds, with what its subject has had.
struct Candidate<'a> {
    /// Its place in the batch.
    place: usize,
    key: &'a ItemKey,
    now: DateTime<Utc>,
    facts: MessageFacts,
    /// The number of its next intent.
    number: i32,
    unsettled: bool,
    notify_users: bool,
    show_profile: bool,
}

/// What every message of a batch is about.
#[derive(Clone, Copy)]
struct Purpose {
    platform: PlatformId,
    check: CheckName,
}

impl Store {
    /// Writes the intents of messages that are about to be made, of those that may be made: all of one platform and check.
    /// Each call must end within `call_max`. Answers in their order. They share one transaction, and so one
    /// wait for the disk; one that may not be made keeps no other from being made.
    /// Not to be repeated for one call: each `Yes` is a message.
    ///
    /// # Errors
    /// Postgres did not answer: nothing may be sent. Should the commit have arrived all the same, the intents stay
    /// unknown and count as made.
    pub async fn intend(
        &self,
        batch: &[Leased],
        policy: &MessagePolicy,
        call_max: Duration,
    ) -> Result<Vec<Intended>, StoreError> {
        let mut answers = vec![Intended::LeaseLost; batch.len()];
        let Some(first) = batch.first() else { return Ok(answers) };
        let purpose = Purpose { platform: first.key.platform, check: first.key.check };
        let mut transaction = self.begin_by_key().await?;
        sqlx::query(include_str!("sql/intend_durable.sql")).execute(&mut *transaction).await?;
        // Since the last message Postgres may have failed over to a server that has not seen it.
        if self.is_another(&mut transaction).await? {
            transaction.rollback().await?;
            self.compare_identity().await?;
            return Ok(vec![Intended::Refused(Permission::No { reason: "held" }); batch.len()]);
        }
        let written_at = Instant::now();
        let mut candidates = self.candidates(&mut transaction, purpose, batch, call_max).await?;
        let mut allowed = Vec::with_capacity(candidates.len());
        for candidate in candidates.drain(..) {
            match refusal(&candidate, policy) {
                Some(refusal) => answers[candidate.place] = refusal,
                None => allowed.push(candidate),
            }
        }
        // The day's row is locked by those only who may take from it.
        let Some(now) = allowed.first().map(|candidate| candidate.now) else { return Ok(answers) };
        let day = platform_time::day(now);
        let used: i32 = sqlx::query_scalar(include_str!("sql/intend_day.sql"))
            .bind(purpose.platform)
            .bind(purpose.check.name())
            .bind(day)
            .fetch_one(&mut *transaction)
            .await?;
        let mut used = u32::try_from(used).unwrap_or(0);
        let mut granted = Vec::with_capacity(allowed.len());
        for mut candidate in allowed {
            candidate.facts.used_today = used;
            match refusal(&candidate, policy) {
                Some(refusal) => answers[candidate.place] = refusal,
                None => {
                    used += 1;
                    answers[candidate.place] = Intended::Yes {
                        number: candidate.number,
                        written_at,
                        notify_users: candidate.notify_users,
                        show_profile: candidate.show_profile,
                    };
                    granted.push(candidate);
                }
            }
        }
        if granted.is_empty() {
            return Ok(answers);
        }
        sqlx::query(include_str!("sql/intend_take.sql"))
            .bind(purpose.platform)
            .bind(purpose.check.name())
            .bind(day)
            .bind(i32::try_from(granted.len()).unwrap_or(i32::MAX))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(include_str!("sql/intend_write.sql"))
            .bind(purpose.platform)
            .bind(purpose.check.name())
            .bind(now)
            .bind(call_max.as_secs_f64())
            .bind(self.process_id)
            .bind(granted.iter().map(|candidate| candidate.key.appid.as_str()).collect::<Vec<_>>())
            .bind(granted.iter().map(|candidate| candidate.key.counterpart.as_str()).collect::<Vec<_>>())
            .bind(granted.iter().map(|candidate| candidate.number).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(answers)
    }

    /// Those of the batch whose leases hold, in key order, with their rows locked.
    async fn candidates<'a>(
        &self,
        transaction: &mut Transaction,
        purpose: Purpose,
        batch: &'a [Leased],
        call_max: Duration,
    ) -> Result<Vec<Candidate<'a>>, StoreError> {
        // Rows are taken in the order of their keys, as everybody takes them.
        let mut places: Vec<usize> = (0..batch.len()).collect();
        places.sort_by(|left, right| batch[*left].key.cmp(&batch[*right].key));
        let items: Vec<LeasedItem> = sqlx::query_as(include_str!("sql/intend_items.sql"))
            .bind(purpose.platform)
            .bind(purpose.check.name())
            .bind(self.process_id)
            .bind(purpose.check.endpoint().name())
            .bind(call_max.as_secs_f64())
            .bind(places.iter().map(|place| batch[*place].key.appid.as_str()).collect::<Vec<_>>())
            .bind(places.iter().map(|place| batch[*place].key.counterpart.as_str()).collect::<Vec<_>>())
            .bind(places.iter().map(|place| batch[*place].fence).collect::<Vec<_>>())
            .fetch_all(&mut **transaction)
            .await?;
        let leased: Vec<(usize, LeasedItem)> = items
            .into_iter()
            .filter_map(|item| {
                let index = usize::try_from(item.ordinal - 1).ok()?;
                Some((*places.get(index)?, item))
            })
            .collect();
        let appids: Vec<&str> = leased.iter().map(|(place, _)| batch[*place].key.appid.as_str()).collect();
        let counterparts: Vec<&str> = leased.iter().map(|(place, _)| batch[*place].key.counterpart.as_str()).collect();
        let past: Vec<Past> = sqlx::query_as(include_str!("sql/intend_past.sql"))
            .bind(purpose.platform)
            .bind(purpose.check.name())
            .bind(&appids)
            .bind(&counterparts)
            .fetch_all(&mut **transaction)
            .await?;
        let mut wanted = wanted(transaction, purpose, &appids, &counterparts).await?;
        let candidate = |(index, ((place, item), past)): (usize, ((usize, LeasedItem), Past))| {
            let wanted = std::mem::take(&mut wanted[index]);
            Candidate {
                place,
                key: &batch[place].key,
                now: item.now,
                facts: MessageFacts {
                    wanted: wanted.wanted,
                    withdrawn: item.withdrawn,
                    held: item.held,
                    last_at: past.last_at,
                    counted: u32::try_from(past.counted).unwrap_or(u32::MAX),
                    granted: u32::try_from(wanted.granted).unwrap_or(0),
                    used_today: 0,
                },
                number: past.number.unwrap_or(0) + 1,
                unsettled: past.unsettled,
                notify_users: wanted.notify_users,
                show_profile: wanted.show_profile,
            }
        };
        Ok(leased.into_iter().zip(past).enumerate().map(candidate).collect())
    }
}

/// Why a message may not be made. `None`: it may.
fn refusal(candidate: &Candidate<'_>, policy: &MessagePolicy) -> Option<Intended> {
    if candidate.unsettled {
        return Some(Intended::Unsettled);
    }
    match policy.decide(&candidate.facts, candidate.now) {
        Permission::Granted => None,
        refusal @ (Permission::Later { .. } | Permission::No { .. }) => Some(Intended::Refused(refusal)),
    }
}

/// What still asks for each of these messages; the default where nothing does.
async fn wanted(
    transaction: &mut Transaction,
    purpose: Purpose,
    appids: &[&str],
    counterparts: &[&str],
) -> Result<Vec<Wanted>, StoreError> {
    let statement = match purpose.check {
        CheckName::Ask => Some(include_str!("sql/intend_asks_wanted.sql")),
        CheckName::Invite => Some(include_str!("sql/intend_invites_wanted.sql")),
        CheckName::Phone | CheckName::Callback | CheckName::Links => None,
    };
    let mut wanted: Vec<Wanted> = appids.iter().map(|_| Wanted::default()).collect();
    let Some(statement) = statement else { return Ok(wanted) };
    let rows: Vec<Wanted> = sqlx::query_as(statement)
        .bind(purpose.platform)
        .bind(appids)
        .bind(counterparts)
        .fetch_all(&mut **transaction)
        .await?;
    for row in rows {
        if let Some(place) = usize::try_from(row.ordinal - 1).ok().and_then(|index| wanted.get_mut(index)) {
            *place = row;
        }
    }
    Ok(wanted)
}
