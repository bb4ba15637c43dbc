//! Authorization events: taken once each, put in order by WeChat's CreateTime, and worked on after they were answered.
//!
//! Locks are taken in the order: events of one merchant (advisory), `authorization_event`, `merchant`, `credential`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::FromRow;

use super::{Store, StoreError, pool::Transaction, seal::Place};
use crate::domain::{
    PlatformId,
    event::{Authorized, Event, News},
};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is kept, and counts.
    Kept,
    /// It is older than what is known, or known already: it changes nothing.
    ChangesNothing,
    /// This very push was taken before.
    Replayed,
}

/// An event that is worked on, leased.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    /// The event.
    pub event_id: i64,
    /// The merchant.
    pub appid: String,
    /// WeChat's CreateTime.
    pub event_at: DateTime<Utc>,
    /// Proof that nobody took over meanwhile.
    pub fence: i64,
    /// Claims so far, this one included.
    pub attempts: i32,
    /// Its authorization code, when there is one that was not used.
    pub code: Option<SecretString>,
    /// Whether WeChat said that the code is over by now.
    pub code_dead: bool,
    /// Since it was taken.
    pub age: Duration,
}

/// What a merchant grants, with the tokens to act for it.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    /// An access token and how long it is good for.
    pub access_token: Option<(SecretString, Duration)>,
    /// A refresh token.
    pub refresh_token: Option<SecretString>,
    /// Granted permission sets; `None`: not told.
    pub permission_sets: Option<Vec<i32>>,
}

/// What became of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// It is kept.
    Kept,
    /// The merchant has withdrawn meanwhile: nothing but the end of the code was kept.
    Withdrawn,
    /// Another process has the event, or a newer one overtook it: nothing was kept.
    Overtaken,
}

#[derive(FromRow)]
struct ClaimedEvent {
    event_id: i64,
    appid: String,
    event_at: DateTime<Utc>,
    fence: i64,
    attempts: i32,
    code_sealed: Option<Vec<u8>>,
    code_dead: bool,
    age_secs: f64,
}

fn code_place(platform: PlatformId, appid: &str) -> Place<'_> {
    Place { platform, appid, column: "authorization_code" }
}

impl Store {
    /// Takes an event: when this returns, everything that follows from it is on disk, done or noted. `mark` is what tells
    /// its push from every other. Without `own_tokens` another system keeps the tokens: tickets and codes are its.
    /// May be repeated: a push with the same mark is [`Taken::Replayed`].
    ///
    /// # Errors
    /// Postgres did not answer: nothing is kept, and the push may come again.
    pub async fn take_event(
        &self,
        platform: PlatformId,
        event: &Event,
        mark: Option<&str>,
        own_tokens: bool,
    ) -> Result<Taken, StoreError> {
        let of_no_use = match event.news {
            News::Ticket(_) => !own_tokens,
            News::Authorized(_) | News::Unauthorized { .. } => false,
            News::Other { .. } => true,
        };
        if of_no_use {
            return Ok(Taken::ChangesNothing);
        }
        let mut transaction = self.pool.begin().await?;
        if let Some(mark) = mark {
            let first: Option<i32> = sqlx::query_scalar(include_str!("sql/push_take.sql"))
                .bind(platform)
                .bind(mark)
                .fetch_optional(&mut *transaction)
                .await?;
            if first.is_none() {
                return Ok(Taken::Replayed);
            }
        }
        let kept = match &event.news {
            News::Ticket(ticket) => {
                let sealed = self.sealer()?.seal(Place { platform, appid: "", column: "ticket" }, ticket);
                let stored = sqlx::query(include_str!("sql/ticket_dated.sql"))
                    .bind(platform)
                    .bind(sealed)
                    .bind(event.created_at)
                    .execute(&mut *transaction)
                    .await?;
                stored.rows_affected() == 1
            }
            News::Authorized(authorized) => {
                self.authorize(&mut transaction, platform, event, authorized, own_tokens).await?
            }
            News::Unauthorized { appid } => self.unauthorize(&mut transaction, platform, event, appid).await?,
            News::Other { .. } => false,
        };
        transaction.commit().await?;
        Ok(if kept { Taken::Kept } else { Taken::ChangesNothing })
    }

    async fn authorize(
        &self,
        transaction: &mut Transaction,
        platform: PlatformId,
        event: &Event,
        authorized: &Authorized,
        own_tokens: bool,
    ) -> Result<bool, StoreError> {
        let appid = authorized.appid.as_str();
        let code = match own_tokens {
            true => Some(self.sealer()?.seal(code_place(platform, appid), &authorized.code)),
            false => None,
        };
        let work = Some(Work { code, code_expires_at: authorized.code_expires_at.filter(|_| own_tokens) });
        let Some(event_id) = note(transaction, platform, event, appid, work).await? else { return Ok(false) };
        overtake(transaction, platform, appid, event_id).await?;
        sqlx::query(include_str!("sql/event_authorizes.sql"))
            .bind(platform)
            .bind(appid)
            .bind(event.created_at)
            .bind(authorized.update)
            .execute(&mut **transaction)
            .await?;
        Ok(true)
    }

    async fn unauthorize(
        &self,
        transaction: &mut Transaction,
        platform: PlatformId,
        event: &Event,
        appid: &str,
    ) -> Result<bool, StoreError> {
        let Some(event_id) = note(transaction, platform, event, appid, None).await? else { return Ok(false) };
        overtake(transaction, platform, appid, event_id).await?;
        sqlx::query(include_str!("sql/event_withdraws.sql"))
            .bind(platform)
            .bind(appid)
            .bind(event.created_at)
            .execute(&mut **transaction)
            .await?;
        sqlx::query(include_str!("sql/record_withdrawn.sql"))
            .bind(platform)
            .bind([appid])
            .bind([None::<DateTime<Utc>>])
            .execute(&mut **transaction)
            .await?;
        Ok(true)
    }

    /// Leases pending events, the longest due first.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn claim_events(
        &self,
        platform: PlatformId,
        events_max: i64,
        lease: Duration,
    ) -> Result<Vec<PendingEvent>, StoreError> {
        let sealer = self.sealer()?;
        let rows: Vec<ClaimedEvent> = sqlx::query_as(include_str!("sql/events_claim.sql"))
            .bind(platform)
            .bind(events_max)
            .bind(lease.as_secs_f64())
            .fetch_all(&self.pool)
            .await?;
        let opened = rows.into_iter().map(|row| {
            // A code that can not be opened is as good as none: the merchant's info and the next sync see to the rest.
            let code = row.code_sealed.and_then(|sealed| sealer.open(code_place(platform, &row.appid), &sealed).ok());
            PendingEvent {
                event_id: row.event_id,
                event_at: row.event_at,
                fence: row.fence,
                attempts: row.attempts,
                code,
                code_dead: row.code_dead,
                age: Duration::try_from_secs_f64(row.age_secs).unwrap_or_default(),
                appid: row.appid,
            }
        });
        Ok(opened.collect())
    }

    /// Keeps what a merchant grants, unless it has withdrawn or a newer event is known; the event's code is erased.
    /// `fault` is what went wrong with the code, when it did.
    ///
    /// # Errors
    /// Nothing was kept, and the lease runs out.
    pub async fn keep_grant(
        &self,
        platform: PlatformId,
        event: &PendingEvent,
        grant: &Grant,
        fault: Option<&str>,
    ) -> Result<Granted, StoreError> {
        let sealer = self.sealer()?;
        let appid = event.appid.as_str();
        let place = |column| Place { platform, appid, column };
        let mut transaction = self.pool.begin().await?;
        let held: Option<i64> = sqlx::query_scalar(include_str!("sql/event_spend.sql"))
            .bind(event.event_id)
            .bind(event.fence)
            .bind(fault)
            .fetch_optional(&mut *transaction)
            .await?;
        if held.is_none() {
            return Ok(Granted::Overtaken);
        }
        let sets = grant.permission_sets.as_ref();
        let sets = sets.map(|sets| sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        let wanted: Option<String> = sqlx::query_scalar(include_str!("sql/event_grants.sql"))
            .bind(platform)
            .bind(appid)
            .bind(event.event_at)
            .bind(sets)
            .fetch_optional(&mut *transaction)
            .await?;
        if wanted.is_some() && (grant.access_token.is_some() || grant.refresh_token.is_some()) {
            let (access, good_for) = grant.access_token.as_ref().map(|(token, good_for)| (token, *good_for)).unzip();
            sqlx::query(include_str!("sql/event_tokens.sql"))
                .bind(platform)
                .bind(appid)
                .bind(access.map(|token| sealer.seal(place("access"), token)))
                .bind(good_for.map(|good_for| good_for.as_secs_f64()))
                .bind(grant.refresh_token.as_ref().map(|token| sealer.seal(place("refresh"), token)))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(if wanted.is_some() { Granted::Kept } else { Granted::Withdrawn })
    }

    /// Gives an event back: it is due again after `wait`.
    ///
    /// # Errors
    /// Postgres did not answer: the lease runs out.
    pub async fn put_event_off(&self, event: &PendingEvent, wait: Duration, why: &str) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/event_again.sql"))
            .bind(event.event_id)
            .bind(event.fence)
            .bind(wait.as_secs_f64())
            .bind(why)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Nothing is left to do for an event; `failed` says why not all was done. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: the lease runs out, and the rest of the work is done again.
    pub async fn settle_event(&self, event: &PendingEvent, failed: Option<&str>) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/event_settle.sql"))
            .bind(event.event_id)
            .bind(event.fence)
            .bind(if failed.is_some() { "failed" } else { "done" })
            .bind(failed)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// What follows from an event.
#[derive(Default)]
struct Work {
    /// The code to exchange, sealed.
    code: Option<Vec<u8>>,
    /// When it dies.
    code_expires_at: Option<DateTime<Utc>>,
}

/// Notes an event, and that work follows from it, with its code where there is one; `None`: it changes nothing.
async fn note(
    transaction: &mut Transaction,
    platform: PlatformId,
    event: &Event,
    appid: &str,
    work: Option<Work>,
) -> Result<Option<i64>, StoreError> {
    let wanted = work.is_some();
    let Work { code, code_expires_at } = work.unwrap_or_default();
    sqlx::query(include_str!("sql/event_order.sql")).bind(platform).bind(appid).execute(&mut **transaction).await?;
    let noted: Option<(i64, String)> = sqlx::query_as(include_str!("sql/event_note.sql"))
        .bind(platform)
        .bind(appid)
        .bind(event.news.info_type())
        .bind(event.created_at)
        .bind(code)
        .bind(code_expires_at)
        .bind(wanted)
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(noted.filter(|(_, state)| state != "overtaken").map(|(event_id, _)| event_id))
}

async fn overtake(
    transaction: &mut Transaction,
    platform: PlatformId,
    appid: &str,
    event_id: i64,
) -> Result<(), StoreError> {
    sqlx::query(include_str!("sql/event_overtakes.sql"))
        .bind(platform)
        .bind(appid)
        .bind(event_id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
