//! How a call can fail: values for the program to decide on, never shown to a person as they are.

use std::time::Duration;

use super::{Class, errcode};

/// Why a call gave no usable reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// WeChat answered with an errcode that is no success for this endpoint.
    #[error("errcode {errcode} ({class}): {errmsg}")]
    Refused {
        /// WeChat's code, signed: the cloud-development family is negative.
        errcode: i64,
        /// What the code means on this endpoint.
        class: Class,
        /// WeChat's words without control characters, at most 200 characters.
        errmsg: String,
        /// WeChat's request id, for support; WeChat answers about it for seven days.
        rid: Option<String>,
    },
    /// No connection was made, so nothing was sent.
    #[error("could not connect: {0}")]
    NotConnected(String),
    /// No whole answer came within the time allowed; the request may have arrived.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke after the request may have been sent.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// An HTTP status other than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// A body that is no answer of WeChat: empty, HTML, cut off, too large.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
    /// There is no token to make the call with; nothing was sent.
    #[error("no token: {0}")]
    NoToken(TokenFault),
}

/// Why there is no token for a merchant (or for the platform).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Another process is refreshing it: put the item back for a moment, then read again.
    #[error("another process is refreshing it")]
    BeingRefreshed,
    /// The last refresh failed for a passing reason; nobody tries before the time is over.
    #[error("the last refresh failed ({reason}); next try in {wait:?}")]
    CoolingDown {
        /// The last failure in a few words.
        reason: String,
        /// How long until the next try is allowed.
        wait: Duration,
    },
    /// The endpoint that gives tokens is closed or says slow down; nothing is the merchant's fault.
    #[error("the endpoint that gives tokens says slow down; next try in {wait:?}")]
    SlowedDown {
        /// How long until the next try is worth it.
        wait: Duration,
        /// WeChat's code, when this very refresh was answered with one.
        errcode: Option<i64>,
    },
    /// WeChat refused the refresh for a reason that is the merchant's own and does not pass soon.
    #[error("the refresh was refused: {reason}")]
    Refused {
        /// WeChat's code.
        errcode: i64,
        /// What the code means there.
        class: Class,
        /// The refusal in a few words.
        reason: String,
    },
    /// The external source of tokens gave no usable answer.
    #[error("{0}")]
    SourceSilent(String),
    /// The external source of tokens gave nobody an answer lately, and was not asked, or once more in vain: nothing is the
    /// merchant's fault.
    #[error("the external source of tokens is left alone for a moment: {reason}")]
    SourceResting {
        /// Its last failure in a few words.
        reason: String,
        /// It has been silent for longer than it takes to restart.
        over: bool,
    },
    /// The external source of tokens knows none for this merchant, or says itself that it is over.
    #[error("{0}")]
    NotHandedOut(String),
    /// The external source of tokens hands out a token that WeChat refuses.
    #[error("{0}")]
    Dead(String),
    /// Nobody gives this installation the platform's own token.
    #[error("{0}")]
    NoPlatformToken(String),
    /// The platform's own token can not be had at this moment, so that nobody's can: nothing is the merchant's fault.
    #[error("the platform's own token can not be had ({reason}); next try in {wait:?}")]
    NoComponent {
        /// The last failure in a few words.
        reason: String,
        /// How long until the next try is worth it.
        wait: Duration,
        /// Whether WeChat had just refused the merchant's own token, so that it is known to be dead.
        refused: bool,
    },
    /// The merchant's refresh token is missing or was refused, and the authorizer list was not read since.
    #[error("the refresh token is lost ({0}); the authorizer list is read for another one")]
    Recovering(String),
    /// The merchant's refresh token is missing or was refused, and the list has no other; a person must see to it.
    #[error("the refresh token is lost: {0}")]
    Lost(String),
    /// The merchant took its authorization back.
    #[error("the merchant withdrew its authorization")]
    Withdrawn,
    /// A fault of the whole platform: secret, ticket, allow list, quota of the platform's own token.
    #[error("{reason}")]
    Platform {
        /// WeChat's code, when WeChat answered.
        errcode: Option<i64>,
        /// One sentence that names what to do.
        reason: String,
        /// Whether the platform's own token failed. Otherwise one merchant's refresh said so, and it may be alone.
        certain: bool,
    },
}

impl CallError {
    /// The class that decides what happens next.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { class, .. } => *class,
            Self::NotConnected(_) | Self::TimedOut(_) | Self::Broken(_) | Self::Status(_) | Self::Unreadable(_) => {
                Class::Transient
            }
            Self::NoToken(fault) => match fault {
                TokenFault::BeingRefreshed
                | TokenFault::CoolingDown { .. }
                | TokenFault::NoComponent { .. }
                | TokenFault::SourceSilent(_)
                | TokenFault::SourceResting { .. }
                | TokenFault::NotHandedOut(_) => Class::Transient,
                TokenFault::SlowedDown { .. } => Class::QuotaMinute,
                TokenFault::Refused { class, .. } => *class,
                TokenFault::Recovering(_) | TokenFault::Lost(_) | TokenFault::Dead(_) => Class::Token,
                TokenFault::NoPlatformToken(_) => Class::Bug,
                TokenFault::Withdrawn => Class::Withdrawn,
                TokenFault::Platform { .. } => Class::Halt,
            },
        }
    }

    /// Whether it is certain that no person was messaged by the failed call. `-1`, `-1000`, unknown codes, time-outs,
    /// resets, bad statuses and unreadable answers are not certain: they count as made.
    #[must_use]
    pub fn certainly_not_made(&self) -> bool {
        match self {
            Self::Refused { class, errcode, .. } => match class {
                // Of the codes of cloud development that nobody documents some say that a message was sent.
                Class::NotApplicable => errcode::all().iter().any(|row| row.code == *errcode),
                Class::Token
                | Class::Permission
                | Class::Withdrawn
                | Class::QuotaMinute
                | Class::QuotaDay
                | Class::QuotaMonth
                | Class::Human
                | Class::Bug
                | Class::Halt => true,
                Class::Ok | Class::Transient | Class::Pending | Class::Already | Class::Unknown => false,
            },
            Self::NotConnected(_) | Self::NoToken(_) => true,
            Self::TimedOut(_) | Self::Broken(_) | Self::Status(_) | Self::Unreadable(_) => false,
        }
    }

    /// Whether nobody was called and nothing new went wrong: a token was waited for that another process is refreshing, or
    /// that may not be refreshed yet after a failure that was told when it happened.
    #[must_use]
    pub fn only_waited(&self) -> bool {
        matches!(
            self,
            Self::NoToken(
                TokenFault::BeingRefreshed
                    | TokenFault::CoolingDown { .. }
                    | TokenFault::SourceResting { .. }
                    | TokenFault::SlowedDown { errcode: None, .. }
            )
        )
    }

    /// Whether WeChat said that this merchant's endpoint is to be left alone for a time. A refresh that was slowed down
    /// says nothing of the endpoint that the token was for, and the month's room for links of one principal (89016) or of
    /// others (89017) is used up for some pairs of the account only.
    #[must_use]
    pub fn closes_merchant(&self) -> bool {
        match self {
            Self::Refused { class: Class::QuotaMinute | Class::QuotaDay | Class::QuotaMonth, errcode, .. } => {
                // Of invitations and of messages: readings of the same endpoint go on.
                !matches!(errcode, 89_016 | 89_017 | -601_026)
            }
            _ => false,
        }
    }

    /// WeChat's code, when WeChat answered with one.
    #[must_use]
    pub fn errcode(&self) -> Option<i64> {
        match self {
            Self::Refused { errcode, .. } | Self::NoToken(TokenFault::Refused { errcode, .. }) => Some(*errcode),
            Self::NoToken(TokenFault::Platform { errcode, .. } | TokenFault::SlowedDown { errcode, .. }) => *errcode,
            _ => None,
        }
    }

    /// WeChat's request id, when the answer had one.
    #[must_use]
    pub fn rid(&self) -> Option<&str> {
        match self {
            Self::Refused { rid, .. } => rid.as_deref(),
            _ => None,
        }
    }
}
