//! Who would be messaged now: for `--dry-run`. The facts come in the order of claiming, and [`MessagePolicy::decide`],
//! which decides before each real message, decides here too. Nothing is written.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use strum::VariantArray as _;

use super::{Store, StoreError};
use crate::domain::{
    CheckName, PlatformId,
    link::LinkState,
    message::{MessageFacts, MessagePolicy, Permission},
    platform_time,
};

/// Somebody whom a check that messages people would look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The check.
    pub check: CheckName,
    /// The merchant.
    pub appid: String,
    /// The mini program of a pair; empty for an ask.
    pub counterpart: String,
    /// The merchant's name.
    pub nickname: Option<String>,
    /// Whether it would be messaged now, and else why not.
    pub decision: Permission,
}

#[derive(FromRow)]
struct CandidateRow {
    appid: String,
    counterpart: String,
    nickname: Option<String>,
    withdrawn: bool,
    held: bool,
    barred: Option<String>,
    last_at: Option<DateTime<Utc>>,
    counted: i64,
    granted: i32,
    due_at: Option<DateTime<Utc>>,
    dormant: Option<bool>,
    leased: Option<bool>,
    /// The endpoint is closed for longer than a run waits for it.
    closed_until: Option<DateTime<Utc>>,
    /// The merchant's own limit bars it for longer than a run waits for it.
    limited_until: Option<DateTime<Utc>>,
}

/// The reasons with which an item can be out of the question, beside the states of a link.
const BARRED: &[&str] = &[
    "permission",
    "account_status",
    "token_lost",
    "withdrawn",
    "mini_program_withdrawn",
    "not_an_official_account",
    "not_a_mini_program",
    "not_applicable",
    "human",
    "awaiting_reading",
    "not_planned",
];

/// The word of the table as the word of the program; a word that this program does not know says only that it is barred.
fn barred(word: &str) -> &'static str {
    let states = LinkState::VARIANTS.iter().map(|state| state.name());
    BARRED.iter().copied().chain(states).find(|known| *known == word).unwrap_or("barred")
}

impl CandidateRow {
    fn decide(&self, policy: &MessagePolicy, used_today: u32, now: DateTime<Utc>) -> Permission {
        let facts = MessageFacts {
            wanted: self.barred.is_none(),
            withdrawn: self.withdrawn,
            held: self.held,
            last_at: self.last_at,
            counted: u32::try_from(self.counted).unwrap_or(u32::MAX),
            granted: u32::try_from(self.granted).unwrap_or(0),
            used_today,
        };
        match (policy.decide(&facts, now), self.barred.as_deref(), self.due_at) {
            (Permission::No { reason: "not_wanted" }, Some(word), _) => Permission::No { reason: barred(word) },
            (Permission::Granted, _, _) if self.leased == Some(true) => {
                Permission::Later { reason: "leased", until: now }
            }
            (Permission::Granted, _, Some(until)) if until > now => Permission::Later { reason: "not_due", until },
            (Permission::Granted, _, _) if self.dormant == Some(true) => Permission::No { reason: "dormant" },
            (Permission::Granted, _, _) => match (self.closed_until, self.limited_until) {
                (Some(until), _) => Permission::Later { reason: "endpoint_closed", until },
                (None, Some(until)) => Permission::Later { reason: "merchant_limit", until },
                (None, None) => Permission::Granted,
            },
            (decision, _, _) => decision,
        }
    }
}

impl Store {
    /// Everybody whom `checks` would look at now, at most `candidates_max` for each check, in the order of claiming; of
    /// those who may be messaged, so many are granted as today's cap still admits. Checks that message nobody are left
    /// out.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn would_message(
        &self,
        platform: PlatformId,
        checks: &HashMap<CheckName, MessagePolicy>,
        merchants: Option<&[String]>,
        candidates_max: i64,
    ) -> Result<Vec<Candidate>, StoreError> {
        let now = self.read_clock().await?;
        let mut candidates = Vec::new();
        for check in CheckName::ALL.iter().copied() {
            let statement = match check {
                CheckName::Ask => include_str!("sql/listing_asks.sql"),
                CheckName::Invite => include_str!("sql/listing_invites.sql"),
                CheckName::Phone | CheckName::Callback | CheckName::Links => continue,
            };
            let Some(policy) = checks.get(&check) else { continue };
            let used: Option<i32> = sqlx::query_scalar(include_str!("sql/listing_used.sql"))
                .bind(platform)
                .bind(check.name())
                .bind(platform_time::day(now))
                .fetch_optional(&self.pool)
                .await?;
            let mut used_today = u32::try_from(used.unwrap_or(0)).unwrap_or(0);
            let rows: Vec<CandidateRow> = sqlx::query_as(statement)
                .bind(platform)
                .bind(merchants)
                .bind(candidates_max)
                .fetch_all(&self.pool)
                .await?;
            for row in rows {
                let decision = row.decide(policy, used_today, now);
                if decision == Permission::Granted {
                    used_today += 1;
                }
                let CandidateRow { appid, counterpart, nickname, .. } = row;
                candidates.push(Candidate { check, appid, counterpart, nickname, decision });
            }
        }
        Ok(candidates)
    }
}
