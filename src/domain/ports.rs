//! The only seam between `wechat` and `store`: what the wire needs kept, said as small traits.
//!
//! `store` implements them, the edge hands them to `wechat`. Every time that `wechat` looks at is a duration from the moment of the
//! answer on, so that neither side needs the other's clock.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::{Endpoint, PlatformId};

/// The vault could not do what was asked. The reason is fit for a log: it holds no secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database did not answer: {0}")]
pub struct PortError(pub String);

/// Whose token: the platform's own or a merchant's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The platform itself: the component token.
    Component,
    /// One merchant by its appid.
    Merchant(String),
}

/// A stored access token.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// The token as sent to WeChat.
    pub access_token: SecretString,
    /// How long it is still good for at the moment of reading; zero when it is over.
    pub good_for: Duration,
    /// Grows with every token stored for this holder; tells a newer token from the one that was used.
    pub version: i64,
}

/// Why a token is wanted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is none, or it ends soon.
    Ending,
    /// WeChat refused the one that is stored, before its end.
    Refused,
}

/// The right to refresh one holder's token, for a limited time, against every other process.
#[derive(Debug, Clone)]
pub struct RefreshLease {
    /// Proof for the store that nobody took over meanwhile.
    pub fence: i64,
    /// The refresh token; `None` for the component, or when it is lost.
    pub refresh_token: Option<SecretString>,
    /// Tells the refresh token of this lease from one that is stored while it runs.
    pub refresh_version: i64,
    /// The version of the platform's own token that is known to be dead; `None`: of none.
    pub component_refused: Option<i64>,
    /// When it was taken, on the store's clock: what WeChat says under it was not asked before.
    pub taken_at: DateTime<Utc>,
}

/// The answer to a wish to refresh.
#[derive(Debug, Clone)]
pub enum RefreshClaim {
    /// Go ahead.
    Granted(RefreshLease),
    /// The stored token is newer than the one that was seen: use it.
    Newer(StoredToken),
    /// Another process is refreshing.
    Elsewhere,
    /// A failed refresh cools down.
    CoolingDown {
        /// The last failure.
        reason: String,
        /// WeChat's code, when it refused.
        errcode: Option<i64>,
        /// How long until the next try is allowed.
        wait: Duration,
    },
    /// Another refusal had the platform's own token bought a moment ago: not so soon again.
    TooSoon {
        /// How long until the next refusal may cause a refresh.
        wait: Duration,
    },
    /// The refresh token is lost, and no reading of the authorizer list that began since has ended yet.
    Recovering(String),
    /// A terminal state: a person must act.
    Lost(String),
    /// There is no such merchant, or it withdrew.
    Withdrawn,
}

/// What a refresh brought.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The new access token.
    pub access_token: SecretString,
    /// How long WeChat says it is good for.
    pub expires_in: Duration,
    /// The refresh token that came with it, when one came. It is kept only when it is not empty, and only over the one
    /// of the lease.
    pub refresh_token: Option<SecretString>,
    /// Why it was bought.
    pub cause: Cause,
}

/// How a refresh ended.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// A new token.
    Token(NewToken),
    /// A failure that may pass: cool down, then another try.
    Failed {
        /// A few words, no secret.
        reason: String,
        /// WeChat's code, when it refused.
        errcode: Option<i64>,
        /// The shortest cool-down; the vault's own grows with each failure in a row.
        cool_min: Duration,
    },
    /// It was not tried, or WeChat says slow down: the lease goes back, and nothing is booked against the holder.
    Back,
    /// WeChat refused the refresh token for good; the authorizer list may hold another.
    Lost {
        /// A few words, no secret.
        reason: String,
    },
    /// The merchant withdrew its authorization.
    Withdrawn,
}

/// What the vault made of the end of a refresh.
#[derive(Debug, Clone)]
pub enum Ended {
    /// The new token is stored.
    Stored(StoredToken),
    /// The failure is booked.
    Booked,
    /// Another refresh token was stored meanwhile: the refusal of the old one says nothing about it.
    Replaced,
    /// Another process took the lease over: nothing was written.
    TakenOver,
}

/// Where tokens are kept: sealed, with one refresher over all processes.
#[async_trait]
pub trait TokenVault: Send + Sync {
    /// The stored token of a holder, `None` when there is none. May be repeated.
    async fn token(&self, platform: PlatformId, holder: &Holder) -> Result<Option<StoredToken>, PortError>;

    /// Asks for the right to refresh, unless a token with another version than `seen` (and still good) is stored. The
    /// lease is committed before the answer, lasts `lease`, and belongs to whoever got [`RefreshClaim::Granted`].
    async fn claim_refresh(
        &self,
        platform: PlatformId,
        holder: &Holder,
        seen: Option<i64>,
        cause: Cause,
        lease: Duration,
    ) -> Result<RefreshClaim, PortError>;

    /// Ends a refresh, fenced by its lease. May be repeated.
    async fn end_refresh(
        &self,
        platform: PlatformId,
        holder: &Holder,
        lease: &RefreshLease,
        how: Refreshed,
    ) -> Result<Ended, PortError>;

    /// Forgets a merchant's access token that WeChat refused, unless another one is stored meanwhile. May be repeated.
    async fn drop_refused(&self, platform: PlatformId, appid: &str, version: i64) -> Result<(), PortError>;

    /// Notes for every process that the platform's own token of this version is dead, unless another one is stored
    /// meanwhile. May be repeated.
    async fn note_dead(&self, platform: PlatformId, version: i64) -> Result<(), PortError>;

    /// The version of the platform's own token that is stored, when that one is known to be dead. May be repeated.
    async fn dead(&self, platform: PlatformId) -> Result<Option<i64>, PortError>;

    /// Books that a merchant's token was refused long before its end, and that the one bought in its place works:
    /// somebody else refreshes it. `version` is the refused token's; each is booked once, however often this is said.
    async fn book_contested(&self, platform: PlatformId, appid: &str, version: i64) -> Result<(), PortError>;

    /// Books that calls about a merchant refused two tokens of the platform in a row, and answers for how many
    /// merchants that was booked lately. May be repeated.
    async fn book_odd(&self, platform: PlatformId, appid: &str) -> Result<u64, PortError>;

    /// Whether a merchant's refusal of the platform's own token says nothing about the token: it is booked as odd.
    async fn odd(&self, platform: PlatformId, appid: &str) -> Result<bool, PortError>;

    /// The newest verify ticket and its age, `None` when no ticket is stored.
    async fn ticket(&self, platform: PlatformId) -> Result<Option<(SecretString, Duration)>, PortError>;
}

/// A token that another system keeps and refreshes.
#[derive(Debug, Clone)]
pub struct ForeignToken {
    /// The token as sent to WeChat.
    pub access_token: SecretString,
    /// How long it is good for, by the word of its keeper; zero when it is over, `None` when nothing was said.
    pub good_for: Option<Duration>,
}

/// The other system gave no answer that can be used. One sentence without any secret, address or part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceFault(pub String);

/// An existing platform that keeps its tokens and hands them out. Nothing that comes from it is stored.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// The token of a holder at this moment; `None`: it knows none. One question, no repeat. May be repeated.
    async fn token(&self, component_appid: &str, holder: &Holder) -> Result<Option<ForeignToken>, SourceFault>;

    /// Whether it was told how to get the platform's own token, without which nothing is known about who authorized it.
    fn knows_the_platform(&self) -> bool;
}

/// Slots of a limit, taken for one process out of what all processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// `count` slots; the first may be used `wait` from the moment of the answer, the others `interval` apart.
    Granted {
        /// How many slots.
        count: u32,
        /// Time until the first slot.
        wait: Duration,
        /// Time from slot to slot, in force for this slice.
        interval: Duration,
        /// How long from the answer the slots may be used, when they have no time of their own (a count a day alone);
        /// `None`: each slot at its time, or it is lost.
        good_for: Option<Duration>,
    },
    /// Enough slots are handed out already: ask again after `wait`.
    Later {
        /// Time until it is worth asking again.
        wait: Duration,
    },
    /// The endpoint is closed for every process: nothing before `wait` is over.
    Closed {
        /// Time until the endpoint opens.
        wait: Duration,
    },
}

/// Slots of earlier slices that no call was made with: they came too late, or nobody wanted them any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unused {
    /// How many.
    pub slots: u32,
    /// How long ago the oldest of them was granted.
    pub age: Duration,
    /// Whether others are in hand still, of which some may come back.
    pub more: bool,
}

/// Where the limits that all processes share are kept.
#[async_trait]
pub trait SliceSource: Send + Sync {
    /// Takes up to `wanted` slots of a platform's endpoint; 0 takes none. The time of slots that are not used is gone; from
    /// the count of the day they are taken back, when they are said to be unused on the day that they were granted on. Not to
    /// be repeated with the same unused slots, unless it failed.
    async fn take_slice(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        wanted: u32,
        unused: Unused,
    ) -> Result<Slice, PortError>;

    /// Counts calls that were made under a limit in shadow, within the last quarter of a second, and answers how many of
    /// today's, over all processes, the limit would have held back. Not to be repeated: it counts them again.
    async fn count_in_shadow(&self, platform: PlatformId, endpoint: Endpoint, calls: u32) -> Result<u64, PortError>;
}
