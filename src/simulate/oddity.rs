//! The ways in which an answer can be odd, and the script that says which call gets which.
//!
//! At most one oddity meets a call. Rules for a merchant and an endpoint come before rules for a merchant, these before
//! rules for an endpoint, and those before rules for every call; among equals the one scripted first is used up first,
//! so a rule without a number of calls hides the later ones until the script is cleared.

use std::collections::{HashMap, VecDeque};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::plan::Plan;
use super::quota::Quotas;

/// One way in which an answer is odd. In JSON for example `"reset"`, `{"errcode": -1}`, `{"delay_ms": 1500}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// This errcode instead of the answer; the call has no effect.
    Errcode(i64),
    /// The same, with a message that repeats the whole request: its address with the token, and its body.
    Echo(i64),
    /// This HTTP status with a page of HTML that repeats the whole request.
    EchoPage(u16),
    /// The ordinary answer, this many milliseconds late.
    DelayMs(u64),
    /// The connection is cut before a byte of the answer; the call counts as arrived.
    Reset,
    /// No answer ever, until the caller gives up or the server stops.
    Hang,
    /// This HTTP status with a page of HTML.
    HttpStatus(u16),
    /// HTTP 200 and nothing in the body.
    EmptyBody,
    /// The first half of the answer, complete as far as HTTP can see.
    TruncatedJson,
    /// Bytes that are not UTF-8 inside a string (the nickname where there is one).
    InvalidUtf8,
    /// Control characters inside a string (the nickname where there is one) that strict JSON wants escaped.
    RawControlCharacters,
    /// The ordinary answer grown beyond 1 MiB.
    Oversized,
    /// `"errcode": "0"`.
    ErrcodeAsString,
    /// A good answer without `errcode` and `errmsg`.
    MissingErrcode,
    /// Fields that no documentation knows.
    ExtraFields,
    /// HTTP 302 to an address that counts who follows it.
    Redirect,
    /// The ordinary answer said to be `text/html`.
    WrongContentType,
}

impl Oddity {
    /// Whether a careful reader can still read the ordinary answer.
    pub(super) fn readable(self) -> bool {
        match self {
            Self::DelayMs(_)
            | Self::InvalidUtf8
            | Self::RawControlCharacters
            | Self::ErrcodeAsString
            | Self::MissingErrcode
            | Self::ExtraFields
            | Self::WrongContentType => true,
            Self::Errcode(_)
            | Self::Echo(_)
            | Self::EchoPage(_)
            | Self::Reset
            | Self::Hang
            | Self::HttpStatus(_)
            | Self::EmptyBody
            | Self::TruncatedJson
            | Self::Oversized
            | Self::Redirect => false,
        }
    }

    /// The oddity that a merchant has by its nature under [`Plan::quirks`]. `first` is the merchant's first call of
    /// this endpoint, those that message somebody apart from the others: what heals by itself is seen only then. Calls that message
    /// somebody meet nothing else.
    pub(super) fn by_nature(plan: &Plan, place: u32, endpoint: Endpoint, messages: bool, first: bool) -> Option<Self> {
        let salt = if messages { 0x1dd } else { 0x0dd };
        let drawn = plan.draw(place, salt + endpoint as u64) % 1000;
        match (endpoint, drawn) {
            (_, 0..=24 | 40..) if messages => None,
            (_, 0..=4) => Some(Self::ErrcodeAsString),
            (_, 5..=9) => Some(Self::MissingErrcode),
            (_, 10..=14) => Some(Self::ExtraFields),
            (_, 15..=18) => Some(Self::WrongContentType),
            (_, 19..=21) => Some(Self::InvalidUtf8),
            (_, 22..=24) => Some(Self::RawControlCharacters),
            (_, 25..=27) => first.then_some(Self::HttpStatus(502)),
            (_, 28..=31) => first.then_some(Self::Errcode(-1)),
            (_, 32..=33) => first.then_some(Self::Reset),
            (_, 34..=35) => first.then_some(Self::EmptyBody),
            (_, 36..=37) => first.then_some(Self::TruncatedJson),
            (_, 38..=39) => first.then_some(Self::DelayMs(1500)),
            (_, 40) => Some(Self::Errcode(50002)),
            (Endpoint::Checkmobile, 41) => Some(Self::Errcode(-501_001)),
            _ => None,
        }
    }
}

/// One line of the script: which calls meet which oddity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What happens.
    pub oddity: Oddity,
    /// Only calls about this merchant: the owner of the token, or `authorizer_appid` of a component call.
    #[serde(default)]
    pub appid: Option<String>,
    /// Only calls of this endpoint.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// The next so many calls; `None`: until the script is cleared.
    #[serde(default)]
    pub calls: Option<u32>,
    /// The call has no effect, as though it was lost on its way; otherwise only its answer is spoilt.
    #[serde(default)]
    pub unheard: bool,
}

impl Rule {
    /// A rule for every call; narrow it with the other functions.
    #[must_use]
    pub fn new(oddity: Oddity) -> Self {
        Self { oddity, appid: None, endpoint: None, calls: None, unheard: false }
    }

    /// Only calls about this merchant.
    #[must_use]
    pub fn of(mut self, appid: impl Into<String>) -> Self {
        self.appid = Some(appid.into());
        self
    }

    /// Only calls of this endpoint.
    #[must_use]
    pub fn on(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Only the next so many calls.
    #[must_use]
    pub fn times(mut self, calls: u32) -> Self {
        self.calls = Some(calls);
        self
    }

    /// The call shall have no effect.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        self.unheard = true;
        self
    }
}

#[derive(Clone, Copy)]
struct Line {
    oddity: Oddity,
    unheard: bool,
    left: Option<u32>,
}

type Key = (Option<u32>, Option<Endpoint>);

/// The rules in force. A script without rules costs one relaxed load for each call.
#[derive(Default)]
pub(super) struct Script {
    written: AtomicBool,
    lines: RwLock<HashMap<Key, VecDeque<Line>>>,
    /// Figures of quotas by merchant and endpoint; they stay when the rules are taken back.
    pub(super) quotas: Quotas,
}

impl Script {
    pub(super) fn write(&self, place: Option<u32>, rule: &Rule) {
        let mut lines = self.lines.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let line = Line { oddity: rule.oddity, unheard: rule.unheard, left: rule.calls };
        lines.entry((place, rule.endpoint)).or_default().push_back(line);
        self.written.store(true, Ordering::Release);
    }

    pub(super) fn clear(&self) {
        // Under the lock to the end: a rule that is written meanwhile would never be looked for.
        let mut lines = self.lines.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.clear();
        self.written.store(false, Ordering::Release);
    }

    /// The oddity for this call and whether the call goes unheard; uses up one call of the rule.
    pub(super) fn next(&self, place: Option<u32>, endpoint: Endpoint) -> Option<(Oddity, bool)> {
        if !self.written.load(Ordering::Acquire) {
            return None;
        }
        let keys: [Key; 4] = [(place, Some(endpoint)), (place, None), (None, Some(endpoint)), (None, None)];
        {
            let lines = self.lines.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !keys.iter().any(|key| lines.contains_key(key)) {
                return None;
            }
        }
        let mut lines = self.lines.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for key in keys {
            let Some(queue) = lines.get_mut(&key) else { continue };
            let Some(line) = queue.front_mut() else { continue };
            let found = (line.oddity, line.unheard);
            if let Some(left) = &mut line.left {
                *left -= 1;
                if *left == 0 {
                    queue.pop_front();
                }
            }
            if queue.is_empty() {
                lines.remove(&key);
            }
            return Some(found);
        }
        None
    }
}
