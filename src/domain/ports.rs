//! The only seam between `wechat` and `store`: what the wire needs kept, said as small traits.
//!
//! `store` implements them, the edge hands them to `wechat`. Every instant is an expiry relative to the moment of the
//! answer, so that neither side needs the other's clock.

use std::time::Duration;

use async_trait::async_trait;
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

/// The right to refresh one holder's token, for a limited time, against every other process.
#[derive(Debug, Clone)]
pub struct RefreshLease {
    /// Proof for the store that nobody took over meanwhile.
    pub fence: i64,
    /// The refresh token; `None` for the component, or when it is lost.
    pub refresh_token: Option<SecretString>,
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
        /// How long until the next try is allowed.
        wait: Duration,
    },
    /// A terminal state: a person must act.
    Lost(String),
    /// There is no such merchant, or it withdrew.
    Withdrawn,
}

/// How a refresh ended.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// A new token, good for `expires_in`. A refresh token is kept only when it is not empty.
    Token {
        /// The new access token.
        access_token: SecretString,
        /// How long WeChat says it is good for.
        expires_in: Duration,
        /// The refresh token that came with it, when one came.
        refresh_token: Option<SecretString>,
    },
    /// A passing failure: cool down, then another try.
    Failed {
        /// A few words, no secret.
        reason: String,
    },
    /// It was not tried, or WeChat says slow down: the lease goes back, and nothing is booked against the holder.
    Back,
    /// WeChat refused the refresh token for good.
    Lost {
        /// A few words, no secret.
        reason: String,
    },
    /// The merchant withdrew its authorization.
    Withdrawn,
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
        lease: Duration,
    ) -> Result<RefreshClaim, PortError>;

    /// Ends a refresh, fenced: `None` when another process took over meanwhile, so that nothing was stored. The
    /// answer is the stored token when `how` was a token.
    async fn end_refresh(
        &self,
        platform: PlatformId,
        holder: &Holder,
        fence: i64,
        how: Refreshed,
    ) -> Result<Option<StoredToken>, PortError>;

    /// The newest verify ticket and its age, `None` when no ticket is stored.
    async fn ticket(&self, platform: PlatformId) -> Result<Option<(SecretString, Duration)>, PortError>;
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

/// Where the limits that all processes share are kept.
#[async_trait]
pub trait SliceSource: Send + Sync {
    /// Takes up to `wanted` (at least 1) slots of a platform's endpoint. A slice that is not used expires; nothing is
    /// handed back.
    async fn take_slice(&self, platform: PlatformId, endpoint: Endpoint, wanted: u32) -> Result<Slice, PortError>;
}
