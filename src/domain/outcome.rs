//! What a check found, and what becomes of its claim.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr};

use super::{Callback, Class, PlatformId, check::CheckName, link::Seen};

/// Which item: one check of one merchant, and for pairs the counterpart. Keys are in the order of the primary key in Postgres,
/// where a check is its name and texts are compared byte by byte: whoever takes several items takes them in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ItemKey {
    /// The platform.
    pub platform: PlatformId,
    /// The merchant whose token is used.
    pub appid: String,
    /// The check.
    pub check: CheckName,
    /// The other side of a pair; empty for checks of one merchant.
    pub counterpart: String,
}

impl ItemKey {
    fn columns(&self) -> (PlatformId, &str, &str, &str) {
        (self.platform, &self.appid, self.check.name(), &self.counterpart)
    }
}

impl Ord for ItemKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.columns().cmp(&other.columns())
    }
}

impl PartialOrd for ItemKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a phone is bound, as last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PhoneState {
    /// A phone is bound.
    Bound,
    /// No phone is bound.
    Missing,
}

/// What WeChat's answer to an invitation means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InviteAnswer {
    /// It was sent, or one is out already.
    Sent,
    /// The answer was lost: it may have been sent.
    Unknown,
    /// The pair is linked already.
    AlreadyLinked,
    /// The quota of the month is used up.
    QuotaUsedUp {
        /// The first moment of the next month.
        until: DateTime<Utc>,
    },
    /// A person must act first.
    Refused {
        /// WeChat's code.
        errcode: i64,
        /// In a few words.
        reason: String,
    },
}

/// What a check concludes about its subject: rows to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A reading of the phone.
    Phone(PhoneState),
    /// A reading of the message-push configuration.
    Callback(Callback),
    /// A complete reading of one official account's links.
    Links {
        /// When the call began.
        began_at: DateTime<Utc>,
        /// The mini programs in the list. Service accounts may be among them; they match no pair.
        seen: Vec<(String, Seen)>,
    },
    /// The answer to an invitation.
    Invite(InviteAnswer),
}

/// What becomes of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Recorded well; due again at the given time, `None`: dormant until something changes.
    Done {
        /// When the item is due again.
        due_at: Option<DateTime<Utc>>,
    },
    /// Tried and not settled; `attempt` tells whether the try counts.
    Again {
        /// When the item is due again.
        due_at: DateTime<Utc>,
        /// In one word of the coverage.
        reason: String,
        /// Whether this try counts towards the maximum.
        attempt: bool,
    },
    /// Waits for a time that is known.
    Deferred {
        /// Until then.
        until: DateTime<Utc>,
        /// In one word of the coverage.
        reason: String,
    },
    /// Nothing to be done for this merchant, and why.
    Skipped {
        /// When it is worth looking again; `None`: when something changes.
        due_at: Option<DateTime<Utc>>,
        /// In one word of the coverage.
        reason: String,
    },
    /// Could not be settled.
    Failed {
        /// When it is tried afresh.
        due_at: DateTime<Utc>,
        /// In one word of the coverage.
        reason: String,
    },
    /// The claim goes back as it was: nothing was tried.
    Back,
}

impl Outcome {
    /// The word in the `outcome` column; `None` when the item keeps the outcome it had.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Done { .. } => Some("done"),
            Self::Again { .. } => Some("again"),
            Self::Deferred { .. } => Some("deferred"),
            Self::Skipped { .. } => Some("skipped"),
            Self::Failed { .. } => Some("failed"),
            Self::Back => None,
        }
    }

    /// Whether this try counts towards the maximum of tries.
    #[must_use]
    pub fn counts(&self) -> bool {
        matches!(self, Self::Again { attempt: true, .. })
    }

    /// The reason, when the outcome has one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Again { reason, .. }
            | Self::Deferred { reason, .. }
            | Self::Skipped { reason, .. }
            | Self::Failed { reason, .. } => Some(reason),
            Self::Done { .. } | Self::Back => None,
        }
    }

    /// When the item is due again; `None`: dormant, or as it was.
    #[must_use]
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Done { due_at } | Self::Skipped { due_at, .. } => *due_at,
            Self::Again { due_at, .. } | Self::Failed { due_at, .. } => Some(*due_at),
            Self::Deferred { until, .. } => Some(*until),
            Self::Back => None,
        }
    }
}

/// How an intent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum IntentOutcome {
    /// WeChat took the message.
    Made,
    /// Certainly nobody was messaged.
    NotMade,
    /// The answer was lost: counts as made.
    Unknown,
}

/// The call behind an outcome, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The class of the answer.
    pub class: Class,
    /// WeChat's code, when it answered with one.
    pub errcode: Option<i64>,
    /// WeChat's request id.
    pub rid: Option<String>,
    /// When it was made, on Postgres's clock as this process knows it.
    pub asked_at: DateTime<Utc>,
    /// From the call to its answer.
    pub latency: Duration,
    /// In words fit for a table, when the call failed. `None`: it went well, or a token was only waited for.
    pub detail: Option<String>,
    /// WeChat said that this merchant's endpoint is to be left alone until then.
    pub closes_until: Option<DateTime<Utc>>,
}

/// Everything that is recorded about one claim, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The item.
    pub key: Arc<ItemKey>,
    /// The claim's fence: an older one records nothing.
    pub fence: i64,
    /// What becomes of the item.
    pub outcome: Outcome,
    /// The call, when one was made.
    pub call: Option<CallRecord>,
    /// Rows to write.
    pub finding: Option<Finding>,
    /// How the intent of this claim ended, by its number.
    pub intent: Option<(i32, IntentOutcome)>,
    /// No further call for this merchant on this endpoint before then.
    pub free_at: Option<DateTime<Utc>>,
}
