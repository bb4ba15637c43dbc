//! What operators say: wishes for pairs, holds, and one more ask. The same can be said with plain SQL on `wish` and
//! `hold`; planning reads the rows, whoever wrote them.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError, identity::HOLD_REASON, pool::Transaction};
use crate::domain::{CheckName, Endpoint, Kind, PlatformId};

/// An official account and a mini program.
pub type Pair = (String, String);

/// What became of the wish for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nobody wanted the pair before.
    New,
    /// It was wanted already; planning acts on the new word.
    Again,
}

/// What became of taking a wish back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// The wish is gone.
    Gone,
    /// Nobody wanted the pair.
    NotWanted,
}

/// What a hold names. At least one of the four; an endpoint and a schedule stand alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldTarget {
    /// One merchant; `None`: all.
    pub appid: Option<String>,
    /// One check; `None`: all.
    pub check: Option<CheckName>,
    /// One endpoint, for every merchant and check.
    pub endpoint: Option<Endpoint>,
    /// One schedule: its ticks are skipped.
    pub schedule: Option<String>,
}

/// What became of holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused {
    /// Targets that were not held before.
    pub new: u64,
    /// Targets that were; they have the new end and note.
    pub renewed: u64,
}

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Hold {
    /// One merchant; `None`: all.
    pub appid: Option<String>,
    /// One check; `None`: all.
    pub check_name: Option<String>,
    /// One endpoint.
    pub endpoint: Option<String>,
    /// One schedule.
    pub schedule: Option<String>,
    /// Why; empty: nobody said.
    pub reason: String,
    /// Who.
    pub created_by: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself; `None`: by an operator's word.
    pub until: Option<DateTime<Utc>>,
}

/// What became of the wish for one more ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Granted. `woken`: the ask slept at its maximum and is due now; otherwise the grant counts when its time comes.
    Granted {
        /// Whether the ask slept at its maximum.
        woken: bool,
    },
    /// No such merchant.
    Unknown,
    /// The merchant took its authorization back.
    Withdrawn,
    /// An official account: no check reads a phone of it.
    NoMiniProgram,
    /// The phone was never read.
    NotRead,
    /// A phone is bound.
    NotMissing,
}

/// The columns that the statements on `hold` want: appid, check, endpoint and schedule, empty where not named.
fn columns(targets: &[&HoldTarget]) -> [Vec<String>; 4] {
    let of = |text: fn(&HoldTarget) -> &str| targets.iter().map(|target| text(target).to_owned()).collect();
    [
        of(|target| target.appid.as_deref().unwrap_or_default()),
        of(|target| target.check.map(CheckName::name).unwrap_or_default()),
        of(|target| target.endpoint.map(Endpoint::name).unwrap_or_default()),
        of(|target| target.schedule.as_deref().unwrap_or_default()),
    ]
}

/// Who changes holds in this transaction, and why.
async fn say(transaction: &mut Transaction, said_by: &str, note: Option<&str>) -> Result<(), StoreError> {
    sqlx::query(include_str!("sql/holds_said.sql")).bind(said_by).bind(note).execute(&mut **transaction).await?;
    Ok(())
}

/// Ends what was said: it holds, or with `dry_run` nothing was.
async fn end(transaction: Transaction, dry_run: bool) -> Result<(), sqlx::Error> {
    if dry_run { transaction.rollback().await } else { transaction.commit().await }
}

fn sides(pairs: &[Pair]) -> (Vec<&str>, Vec<&str>) {
    let unique: BTreeSet<(&str, &str)> = pairs.iter().map(|(account, program)| (&**account, &**program)).collect();
    unique.into_iter().unzip()
}

impl Store {
    /// Wants pairs, all or none, and answers for each in the order of `pairs`. With `dry_run` nothing is kept. May be
    /// repeated: a pair that is wanted already is tried again where it ended without a link.
    ///
    /// # Errors
    /// Nothing was kept. Whether the merchants are known is the caller's question ([`Store::known_merchants`]); Postgres
    /// refuses unknown ones as [`StoreError::Data`].
    pub async fn want(
        &self,
        platform: PlatformId,
        pairs: &[Pair],
        created_by: &str,
        dry_run: bool,
    ) -> Result<Vec<Wanted>, StoreError> {
        let (accounts, programs) = sides(pairs);
        let mut transaction = self.pool.begin().await?;
        let rows: Vec<(String, String, bool)> = sqlx::query_as(include_str!("sql/wishes_want.sql"))
            .bind(platform)
            .bind(accounts)
            .bind(programs)
            .bind(created_by)
            .fetch_all(&mut *transaction)
            .await?;
        end(transaction, dry_run).await?;
        let new: HashMap<Pair, bool> =
            rows.into_iter().map(|(account, program, new)| ((account, program), new)).collect();
        Ok(pairs.iter().map(|pair| if new.get(pair) == Some(&true) { Wanted::New } else { Wanted::Again }).collect())
    }

    /// Takes wishes back, and answers for each in the order of `pairs`. With `dry_run` nothing is changed. May be
    /// repeated. Invitations that are out, and links that exist, stay as they are.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn unwant(
        &self,
        platform: PlatformId,
        pairs: &[Pair],
        dry_run: bool,
    ) -> Result<Vec<Unwanted>, StoreError> {
        let (accounts, programs) = sides(pairs);
        let mut transaction = self.pool.begin().await?;
        let gone: Vec<Pair> = sqlx::query_as(include_str!("sql/wishes_unwant.sql"))
            .bind(platform)
            .bind(accounts)
            .bind(programs)
            .fetch_all(&mut *transaction)
            .await?;
        end(transaction, dry_run).await?;
        let gone: HashSet<Pair> = gone.into_iter().collect();
        Ok(pairs.iter().map(|pair| if gone.contains(pair) { Unwanted::Gone } else { Unwanted::NotWanted }).collect())
    }

    /// Holds what the targets name. May be repeated: a hold with the same words gets the new end, and the new note when
    /// there is one.
    ///
    /// # Errors
    /// Nothing was held.
    pub async fn pause(
        &self,
        platform: PlatformId,
        targets: &[HoldTarget],
        note: Option<&str>,
        until: Option<DateTime<Utc>>,
        created_by: &str,
    ) -> Result<Paused, StoreError> {
        let unique: Vec<&HoldTarget> = targets.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let [appids, checks, endpoints, schedules] = columns(&unique);
        let mut transaction = self.pool.begin().await?;
        sqlx::query(include_str!("sql/holds_lock.sql")).execute(&mut *transaction).await?;
        say(&mut transaction, created_by, note).await?;
        let renewed: Vec<i64> = sqlx::query_scalar(include_str!("sql/holds_renew.sql"))
            .bind(platform)
            .bind(note)
            .bind(until)
            .bind(appids)
            .bind(checks)
            .bind(endpoints)
            .bind(schedules)
            .bind(HOLD_REASON)
            .fetch_all(&mut *transaction)
            .await?;
        let renewed: HashSet<i64> = renewed.into_iter().collect();
        let new: Vec<&HoldTarget> =
            (1..).zip(unique).filter(|(ordinal, _)| !renewed.contains(ordinal)).map(|(_, target)| target).collect();
        let [appids, checks, endpoints, schedules] = columns(&new);
        sqlx::query(include_str!("sql/holds_add.sql"))
            .bind(platform)
            .bind(note)
            .bind(until)
            .bind(created_by)
            .bind(appids)
            .bind(checks)
            .bind(endpoints)
            .bind(schedules)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Paused { new: new.len() as u64, renewed: renewed.len() as u64 })
    }

    /// Ends the holds that name the same as the targets, keeps who said so and why, and answers how many there were. May be
    /// repeated.
    ///
    /// # Errors
    /// Postgres did not answer: every hold stands.
    pub async fn resume(
        &self,
        platform: PlatformId,
        targets: &[HoldTarget],
        note: Option<&str>,
        said_by: &str,
    ) -> Result<u64, StoreError> {
        let [appids, checks, endpoints, schedules] = columns(&targets.iter().collect::<Vec<_>>());
        let mut transaction = self.pool.begin().await?;
        // Whoever plans items under such a hold meanwhile, or ends another one, is waited for: the hold's end must meet them.
        sqlx::query(include_str!("sql/holds_lock.sql")).execute(&mut *transaction).await?;
        say(&mut transaction, said_by, note).await?;
        let ended = sqlx::query(include_str!("sql/holds_resume.sql"))
            .bind(platform)
            .bind(appids)
            .bind(checks)
            .bind(endpoints)
            .bind(schedules)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(ended.rows_affected())
    }

    /// The holds of a platform, oldest first.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn holds(&self, platform: PlatformId) -> Result<Vec<Hold>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/holds.sql")).bind(platform).fetch_all(&self.pool).await?)
    }

    /// Wakes the asks that sleep at a maximum where `asks_max` (`None`: none) allows more, and answers how many. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn wake_asks_below(&self, platform: PlatformId, asks_max: Option<u32>) -> Result<u64, StoreError> {
        let woken = sqlx::query(include_str!("sql/asks_below_maximum.sql"))
            .bind(platform)
            .bind(asks_max.map(i64::from))
            .execute(&self.pool)
            .await?;
        Ok(woken.rows_affected())
    }

    /// Grants one more ask to each merchant, or to none when one of them can get none, and answers for each in the order of
    /// `appids`, as if it stood alone; one that is named twice gets one. Sends nothing: the cool-down, the quiet hours and the
    /// day's cap stay. Not to be repeated: each call grants.
    ///
    /// # Errors
    /// Nothing was granted.
    pub async fn grant_ask(&self, platform: PlatformId, appids: &[String]) -> Result<Vec<Grant>, StoreError> {
        let unique: Vec<&String> = appids.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut transaction = self.pool.begin().await?;
        let states: Vec<(String, String, bool, Option<String>)> = sqlx::query_as(include_str!("sql/ask_states.sql"))
            .bind(platform)
            .bind(&unique)
            .fetch_all(&mut *transaction)
            .await?;
        let granted: Vec<(String, bool)> = sqlx::query_as(include_str!("sql/ask_grant.sql"))
            .bind(platform)
            .bind(&unique)
            .fetch_all(&mut *transaction)
            .await?;
        // All of them or none: who takes one out of the list gives the whole list again.
        if granted.len() == unique.len() {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        let official_account: &str = Kind::OfficialAccount.into();
        let states: HashMap<String, Grant> = states
            .into_iter()
            .map(|(appid, kind, withdrawn, phone)| {
                let why_not = match phone {
                    _ if withdrawn => Grant::Withdrawn,
                    _ if kind == official_account => Grant::NoMiniProgram,
                    Some(_) => Grant::NotMissing,
                    None => Grant::NotRead,
                };
                (appid, why_not)
            })
            .collect();
        let granted: HashMap<String, bool> = granted.into_iter().collect();
        let answer = |appid: &String| match (granted.get(appid), states.get(appid)) {
            (Some(woken), _) => Grant::Granted { woken: *woken },
            (None, Some(why_not)) => *why_not,
            (None, None) => Grant::Unknown,
        };
        Ok(appids.iter().map(answer).collect())
    }
}
