//! The life of a link between an official account and a mini program: one enum, one total function.
//!
//! ```text
//! wanted -> invited -> waiting_official_account -> waiting_mini_program -> linked
//! wanted -> linked                     already there, or no confirmation is needed
//! waiting_* -> refused | vanished (two complete readings without it) | stale (patience over)
//! wanted -> deferred (quota of the month) -> wanted      wanted -> blocked (a person must act)
//! refused | vanished | stale | blocked -> wanted         only by an operator's word
//! linked -> unlinked -> wanted (operator)
//! ```

use std::time::Duration;

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The state of a pair, without the data that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LinkState {
    /// An operator wants the pair; nothing was sent.
    Wanted,
    /// An invitation was sent, or may have been; no reading has shown it yet.
    Invited,
    /// The official account's administrator has not decided.
    WaitingOfficialAccount,
    /// The mini program's administrator has not decided.
    WaitingMiniProgram,
    /// Linked.
    Linked,
    /// The mini program's administrator refused.
    Refused,
    /// Two complete readings in a row did not show the invitation: declined, expired, or never made.
    Vanished,
    /// Nobody decided within the patience.
    Stale,
    /// WeChat refuses the invitation until a person acts.
    Blocked,
    /// The quota of the month is used up; the invitation waits for the next month.
    Deferred,
    /// The pair was linked and is no longer.
    Unlinked,
}

impl LinkState {
    /// Every state, in the order of life.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The stable name used in tables and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether an invitation is out and undecided.
    #[must_use]
    pub fn pending(self) -> bool {
        match self {
            Self::Invited | Self::WaitingOfficialAccount | Self::WaitingMiniProgram => true,
            Self::Wanted
            | Self::Linked
            | Self::Refused
            | Self::Vanished
            | Self::Stale
            | Self::Blocked
            | Self::Deferred
            | Self::Unlinked => false,
        }
    }
}

/// What is known about a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it stands.
    pub state: LinkState,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When the newest invitation was sent, or may have been.
    pub invited_at: Option<DateTime<Utc>>,
    /// Whether an answer or a reading showed that the newest invitation arrived.
    pub invite_confirmed: bool,
    /// Complete readings in a row, begun after the invitation, that did not show the pair.
    pub absent_readings: i16,
    /// WeChat's code behind `blocked`.
    pub errcode: Option<i64>,
    /// The reason behind `blocked`, `vanished` or `stale`.
    pub reason: Option<String>,
    /// When `deferred` ends.
    pub deferred_until: Option<DateTime<Utc>>,
}

/// What a complete reading says about one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The list does not hold the pair.
    Absent,
    /// Status 12.
    WaitingOfficialAccount,
    /// Status 2.
    WaitingMiniProgram,
    /// Status 1.
    Linked,
    /// Status 3.
    Refused,
    /// A status that no documentation names: keep polling slowly.
    Unnamed(i64),
}

impl Seen {
    /// Reads WeChat's `status` of one entry (documentation of getLinkMiniprogram).
    #[must_use]
    pub fn from_status(status: i64) -> Self {
        match status {
            1 => Self::Linked,
            2 => Self::WaitingMiniProgram,
            3 => Self::Refused,
            12 => Self::WaitingOfficialAccount,
            other => Self::Unnamed(other),
        }
    }
}

/// Something that happened to a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// A complete reading that began at `began_at`.
    Read {
        /// What it showed.
        seen: Seen,
        /// When the call began: a reading begun before the invitation says nothing about it.
        began_at: DateTime<Utc>,
    },
    /// WeChat took the invitation, or says that one is out already.
    InviteSent,
    /// The answer to an invitation was lost; it may have been sent.
    InviteUnknown,
    /// WeChat says the pair is linked already.
    AlreadyLinked,
    /// The quota of the month is used up until then.
    QuotaUsedUp {
        /// The first moment of the next month, in platform time.
        until: DateTime<Utc>,
    },
    /// WeChat refuses until a person acts.
    Refused {
        /// WeChat's code.
        errcode: i64,
        /// In a few words.
        reason: String,
    },
    /// An operator wants the pair (again).
    OperatorWants,
}

/// How long undecided invitations are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

/// A call begun this soon after an invitation may still miss it in WeChat's list.
const INVITATION_SETTLES: Duration = Duration::from_secs(15);

impl Link {
    /// A pair that nobody has tried yet.
    #[must_use]
    pub fn wanted(now: DateTime<Utc>) -> Self {
        Self {
            state: LinkState::Wanted,
            since: now,
            invited_at: None,
            invite_confirmed: false,
            absent_readings: 0,
            errcode: None,
            reason: None,
            deferred_until: None,
        }
    }

    fn moved(&self, state: LinkState, now: DateTime<Utc>) -> Self {
        let since = if state == self.state { self.since } else { now };
        Self { state, since, errcode: None, reason: None, deferred_until: None, absent_readings: 0, ..self.clone() }
    }

    /// The state after `event`, recorded at `now`. Total: every pair of state and event has an answer.
    #[must_use]
    pub fn next(&self, event: &LinkEvent, now: DateTime<Utc>, patience: Patience) -> Self {
        match event {
            LinkEvent::Read { seen, began_at } => self.read(*seen, *began_at, now, patience),
            LinkEvent::InviteSent => self.invited(true, now),
            LinkEvent::InviteUnknown => self.invited(false, now),
            LinkEvent::AlreadyLinked => self.moved(LinkState::Linked, now),
            LinkEvent::QuotaUsedUp { until } => match self.state {
                LinkState::Wanted | LinkState::Deferred | LinkState::Unlinked => {
                    Self { deferred_until: Some(*until), ..self.moved(LinkState::Deferred, now) }
                }
                LinkState::Invited
                | LinkState::WaitingOfficialAccount
                | LinkState::WaitingMiniProgram
                | LinkState::Linked
                | LinkState::Refused
                | LinkState::Vanished
                | LinkState::Stale
                | LinkState::Blocked => self.clone(),
            },
            LinkEvent::Refused { errcode, reason } => match self.state {
                LinkState::Wanted | LinkState::Deferred | LinkState::Unlinked | LinkState::Blocked => {
                    let blocked = self.moved(LinkState::Blocked, now);
                    Self { errcode: Some(*errcode), reason: Some(reason.clone()), ..blocked }
                }
                LinkState::Invited
                | LinkState::WaitingOfficialAccount
                | LinkState::WaitingMiniProgram
                | LinkState::Linked
                | LinkState::Refused
                | LinkState::Vanished
                | LinkState::Stale => self.clone(),
            },
            LinkEvent::OperatorWants => match self.state {
                LinkState::Wanted
                | LinkState::Deferred
                | LinkState::Invited
                | LinkState::WaitingOfficialAccount
                | LinkState::WaitingMiniProgram
                | LinkState::Linked => self.clone(),
                LinkState::Refused
                | LinkState::Vanished
                | LinkState::Stale
                | LinkState::Blocked
                | LinkState::Unlinked => {
                    Self { invited_at: self.invited_at, invite_confirmed: false, ..self.moved(LinkState::Wanted, now) }
                }
            },
        }
    }

    fn invited(&self, confirmed: bool, now: DateTime<Utc>) -> Self {
        match self.state {
            LinkState::Wanted | LinkState::Deferred | LinkState::Unlinked => {
                Self { invited_at: Some(now), invite_confirmed: confirmed, ..self.moved(LinkState::Invited, now) }
            }
            LinkState::Invited => Self { invite_confirmed: confirmed || self.invite_confirmed, ..self.clone() },
            LinkState::WaitingOfficialAccount
            | LinkState::WaitingMiniProgram
            | LinkState::Linked
            | LinkState::Refused
            | LinkState::Vanished
            | LinkState::Stale
            | LinkState::Blocked => self.clone(),
        }
    }

    fn read(&self, seen: Seen, began_at: DateTime<Utc>, now: DateTime<Utc>, patience: Patience) -> Self {
        let confirmed = |link: Self| Self { invite_confirmed: true, ..link };
        match seen {
            Seen::Linked => confirmed(self.moved(LinkState::Linked, now)),
            // What an operator wants was refused before this wish: WeChat takes a new invitation.
            Seen::Refused if matches!(self.state, LinkState::Wanted | LinkState::Deferred) => {
                self.absent(began_at, now)
            }
            Seen::Refused => confirmed(self.moved(LinkState::Refused, now)),
            Seen::WaitingOfficialAccount => self.waiting(LinkState::WaitingOfficialAccount, now, patience),
            Seen::WaitingMiniProgram => self.waiting(LinkState::WaitingMiniProgram, now, patience),
            Seen::Unnamed(status) => self.unnamed(status, now, patience),
            Seen::Absent => self.absent(began_at, now),
        }
    }

    /// A pending entry was seen: perhaps one that somebody else sent.
    fn waiting(&self, state: LinkState, now: DateTime<Utc>, patience: Patience) -> Self {
        // What a renewed wish finds waiting is waited for anew.
        let renewed = self.state == LinkState::Wanted && self.invited_at.is_some_and(|at| at < self.since);
        let invited_at = self.invited_at.filter(|_| !renewed).unwrap_or(now);
        let waited = (now - invited_at).to_std().unwrap_or_default();
        let waiting = Self { invited_at: Some(invited_at), invite_confirmed: true, ..self.moved(state, now) };
        if waited < patience.0 {
            return waiting;
        }
        if self.state == LinkState::Stale {
            return self.clone();
        }
        Self { reason: Some(format!("undecided in {}", state.name())), ..waiting.moved(LinkState::Stale, now) }
    }

    /// The entry is there with a status that no documentation names: polled on, and stale when patience is over.
    fn unnamed(&self, status: i64, now: DateTime<Utc>, patience: Patience) -> Self {
        let (began, confirmed) = match self.state {
            LinkState::Invited | LinkState::WaitingOfficialAccount | LinkState::WaitingMiniProgram => {
                (self.invited_at, true)
            }
            // It may be whatever somebody else began.
            LinkState::Wanted | LinkState::Deferred => (Some(self.since), self.invite_confirmed),
            LinkState::Linked
            | LinkState::Refused
            | LinkState::Vanished
            | LinkState::Stale
            | LinkState::Blocked
            | LinkState::Unlinked => return self.clone(),
        };
        let waited = began.and_then(|at| (now - at).to_std().ok()).unwrap_or_default();
        if waited < patience.0 {
            return self.clone();
        }
        let reason = Some(format!("the unnamed status {status}"));
        Self { reason, invite_confirmed: confirmed, ..self.moved(LinkState::Stale, now) }
    }

    fn absent(&self, began_at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        match self.state {
            LinkState::Linked => self.moved(LinkState::Unlinked, now),
            LinkState::Invited | LinkState::WaitingOfficialAccount | LinkState::WaitingMiniProgram => {
                let says_something = self
                    .invited_at
                    .is_none_or(|at| (began_at - at).to_std().is_ok_and(|since| since >= INVITATION_SETTLES));
                if !says_something {
                    return self.clone();
                }
                if self.absent_readings == 0 {
                    return Self { absent_readings: 1, ..self.clone() };
                }
                let why = if self.invite_confirmed { "declined or expired" } else { "never confirmed" };
                Self { reason: Some(why.to_owned()), ..self.moved(LinkState::Vanished, now) }
            }
            LinkState::Deferred => {
                if self.deferred_until.is_none_or(|until| until <= now) {
                    self.moved(LinkState::Wanted, now)
                } else {
                    self.clone()
                }
            }
            LinkState::Wanted
            | LinkState::Refused
            | LinkState::Vanished
            | LinkState::Stale
            | LinkState::Blocked
            | LinkState::Unlinked => self.clone(),
        }
    }

    /// How long until the next reading is worth a call: 10 min, 30 min, 2 h, 6 h after an invitation, then daily;
    /// weekly for settled pairs.
    #[must_use]
    pub fn next_reading(&self, now: DateTime<Utc>) -> Duration {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let secs = match self.state {
            LinkState::Wanted | LinkState::Deferred => 20 * HOUR,
            LinkState::Linked | LinkState::Refused | LinkState::Vanished | LinkState::Blocked | LinkState::Unlinked => {
                7 * 24 * HOUR - 4 * HOUR
            }
            LinkState::Stale => 20 * HOUR,
            LinkState::Invited | LinkState::WaitingOfficialAccount | LinkState::WaitingMiniProgram => {
                let age = self.invited_at.map_or(0, |at| (now - at).num_seconds().max(0));
                match u64::try_from(age).unwrap_or(0) / MINUTE {
                    0..=9 => 10 * MINUTE,
                    10..=59 => 30 * MINUTE,
                    60..=359 => 2 * HOUR,
                    360..=1439 => 6 * HOUR,
                    _ => 20 * HOUR,
                }
            }
        };
        Duration::from_secs(secs)
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
