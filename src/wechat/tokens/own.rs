//! wxpatrol's own tokens: ticket -> component token -> authorizer token, refreshed when used.
//!
//! One refresher over all processes (the vault's lease), and one flight for each holder in this process. A refresh
//! runs in a task of its own, so that its answer is kept even when whoever wanted it has gone. A failed refresh is never
//! repeated here: the vault cools it down.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::super::{Pace, Platform, Wechat};
use super::refusals::Refusals;
use super::{Got, LONG_BEFORE_ITS_END, Lines, Replacement, lock, no_token};
use crate::domain::ports::{Cause, Holder, PortError, StoredToken, TokenVault};
use crate::domain::{CallError, PlatformId, TokenFault};

/// What WeChat documents; in force until a refresh of this process says otherwise.
const LIFETIME_SECS: u64 = 7200;
/// A token is refreshed when it is good for less than this, and the spread below.
const MARGIN: Duration = Duration::from_secs(300);
/// Tokens that were bought together are not refreshed together.
const SPREAD_SECS: u64 = 300;
/// A token that is good for longer than this is never refreshed for its age.
pub const MARGIN_MAX: Duration = Duration::from_secs(MARGIN.as_secs() + SPREAD_SECS);

type Flight = Shared<BoxFuture<'static, Result<Got, CallError>>>;

/// Clones share everything.
#[derive(Clone)]
pub(super) struct Own(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) wechat: Wechat,
    pub(super) vault: Arc<dyn TokenVault>,
    pub(super) pace: Arc<Pace>,
    components: Mutex<HashMap<PlatformId, Cached>>,
    /// Refreshes under way; an entry leaves with its task.
    pub(super) flights: Mutex<HashMap<(PlatformId, Holder), Flight>>,
    pub(super) component_lifetime_secs: AtomicU64,
    pub(super) merchant_lifetime_secs: AtomicU64,
    contested: Lines,
    /// What became of the component tokens that were refused.
    pub(super) refusals: Refusals,
}

/// A component token and when it was read.
#[derive(Clone)]
struct Cached {
    token: StoredToken,
    read_at: Instant,
}

impl Cached {
    fn good_for(&self) -> Duration {
        self.token.good_for.saturating_sub(self.read_at.elapsed())
    }
}

/// Takes a flight off the list, also when its task panics.
struct Landing {
    inner: Arc<Inner>,
    key: (PlatformId, Holder),
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.inner.flights).remove(&self.key);
    }
}

/// What a refresh is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    /// The version that was seen; another one is an answer.
    pub(super) seen: Option<i64>,
    /// Why.
    pub(super) cause: Cause,
    /// Whether there is nothing else to call with, so that another process's refresh is worth a wait.
    pub(super) urgent: bool,
}

impl Own {
    pub(super) fn new(wechat: Wechat, vault: Arc<dyn TokenVault>, pace: Arc<Pace>) -> Self {
        Self(Arc::new(Inner {
            wechat,
            vault,
            pace,
            components: Mutex::default(),
            flights: Mutex::default(),
            component_lifetime_secs: AtomicU64::new(LIFETIME_SECS),
            merchant_lifetime_secs: AtomicU64::new(LIFETIME_SECS),
            contested: Lines::default(),
            refusals: Refusals::default(),
        }))
    }

    pub(super) async fn fresh(
        &self,
        platform: &Platform,
        appid: &str,
        stored: Option<StoredToken>,
    ) -> Result<StoredToken, CallError> {
        let holder = Holder::Merchant(appid.to_owned());
        let stored = match stored {
            Some(token) => Some(token),
            None => self.stored(platform, &holder).await?,
        };
        let stored = match stored {
            Some(token) if token.good_for > self.0.margin(platform.id, &holder) => return Ok(token),
            stored => stored,
        };
        let usable = stored.as_ref().is_some_and(|token| token.good_for > self.0.wechat.timeouts().total);
        let seen = stored.as_ref().map(|token| token.version);
        let refreshed = self.refresh(platform, holder, Wish { seen, cause: Cause::Ending, urgent: !usable }).await;
        match (refreshed, stored) {
            (
                Err(CallError::NoToken(
                    TokenFault::BeingRefreshed
                    | TokenFault::CoolingDown { .. }
                    | TokenFault::NoComponent { .. }
                    | TokenFault::SlowedDown { .. }
                    | TokenFault::Refused { .. },
                )),
                Some(token),
            ) if usable => Ok(token),
            (refreshed, _) => refreshed.map(|got| got.token),
        }
    }

    pub(super) async fn after_refusal(
        &self,
        platform: &Platform,
        appid: &str,
        used: &StoredToken,
    ) -> Result<Replacement, CallError> {
        let holder = Holder::Merchant(appid.to_owned());
        if let Some(token) = self.stored(platform, &holder).await?
            && token.version != used.version
            && !token.good_for.is_zero()
        {
            return Ok(Replacement { token, contested: false });
        }
        let wish = Wish { seen: Some(used.version), cause: Cause::Refused, urgent: true };
        let got = match self.refresh(platform, holder, wish).await {
            Ok(got) => got,
            Err(error) => return Err(self.died(platform, appid, used, error).await),
        };
        Ok(Replacement { contested: got.bought && used.good_for > LONG_BEFORE_ITS_END, token: got.token })
    }

    /// There is no other token for now: the refused one is dropped, so that nobody calls with it again.
    async fn died(&self, platform: &Platform, appid: &str, used: &StoredToken, error: CallError) -> CallError {
        let error = match error {
            CallError::NoToken(TokenFault::NoComponent { reason, wait, .. }) => {
                no_token(TokenFault::NoComponent { reason, wait, refused: true })
            }
            error @ CallError::NoToken(TokenFault::CoolingDown { .. }) => error,
            error => return error,
        };
        if let Err(silent) = self.0.vault.drop_refused(platform.id, appid, used.version).await {
            tracing::warn!(merchant.id = appid, error = %silent, "a dead token could not be dropped; it may be called with again");
        }
        error
    }

    /// Another system refreshes this merchant: written down and said.
    pub(super) async fn contested(&self, platform: &Platform, appid: &str, used: &StoredToken) {
        let left_secs = used.good_for.as_secs();
        match self.0.contested.next() {
            (true, last) => tracing::warn!(
                merchant.id = appid,
                token.good_for_secs = left_secs,
                "another system is refreshing this merchant: its token was refused long before its end, and nobody here \
                 had refreshed it. Two refreshers take each other's tokens away: stop the other one, or take the tokens \
                 from it (WXPATROL_TOKEN_URL or WXPATROL_TOKEN_SQL){}",
                if last { ". More of these are only in `wxpatrol report attention`, for an hour" } else { "" }
            ),
            (false, _) => {
                tracing::debug!(
                    merchant.id = appid,
                    token.good_for_secs = left_secs,
                    "another system is refreshing this merchant"
                );
            }
        }
        if let Err(error) = self.0.vault.book_contested(platform.id, appid, used.version).await {
            tracing::warn!(merchant.id = appid, %error, "that another system refreshes it could not be written down");
        }
    }

    pub(super) async fn component(&self, platform: &Platform) -> Result<StoredToken, CallError> {
        let inner = &self.0;
        let margin = inner.margin(platform.id, &Holder::Component);
        if let Some(cached) = inner.cached(platform.id).filter(|cached| cached.good_for() > margin)
            && inner.refusals.dead(platform.id) != Some(cached.token.version)
        {
            return Ok(cached.token);
        }
        let stored = self.stored(platform, &Holder::Component).await?;
        if stored.is_some() {
            self.hear_of_dead(platform).await?;
        }
        let dead = inner.refusals.dead(platform.id);
        if let Some(refused) = stored.as_ref().map(|token| token.version).filter(|version| dead == Some(*version)) {
            return self.replaced(platform, refused).await.map(|got| got.token);
        }
        if let Some(token) = stored.as_ref().filter(|token| token.good_for > margin) {
            inner.keep_component(platform.id, token);
            return Ok(token.clone());
        }
        let seen = stored.as_ref().map(|token| token.version);
        let usable = stored.filter(|token| token.good_for > inner.wechat.timeouts().total);
        let wish = Wish { seen, cause: Cause::Ending, urgent: usable.is_none() };
        match (self.refresh(platform, Holder::Component, wish).await, usable) {
            (Ok(got), _) => {
                inner.keep_component(platform.id, &got.token);
                Ok(got.token)
            }
            (Err(CallError::NoToken(TokenFault::BeingRefreshed)), Some(token)) => Ok(token),
            (Err(error), Some(token)) => {
                tracing::warn!(%error, "no new component token; the old one is good for {:?} yet", token.good_for);
                Ok(token)
            }
            (Err(error), None) => Err(error),
        }
    }

    pub(super) async fn component_after_refusal(
        &self,
        platform: &Platform,
        used: &StoredToken,
        about: Option<&str>,
    ) -> Result<Option<Got>, CallError> {
        let inner = &self.0;
        if let Some(cached) = inner.cached(platform.id)
            && cached.token.version > used.version
            && !cached.good_for().is_zero()
        {
            return Ok(Some(Got::found(cached.token)));
        }
        if let Some(token) = self.stored(platform, &Holder::Component).await?
            && token.version != used.version
            && !token.good_for.is_zero()
        {
            inner.keep_component(platform.id, &token);
            return Ok(Some(Got::found(token)));
        }
        if let Some(appid) = about
            && inner.vault.odd(platform.id, appid).await.map_err(|error| vault_silent(&error))?
        {
            tracing::info!(
                merchant.id = appid,
                "the component token was refused by a merchant that refused a fresh one lately; it stays"
            );
            return Ok(None);
        }
        self.note_refusal(platform, used.version, about).await;
        self.replaced(platform, used.version).await.map(Some)
    }

    /// A component token in the place of one that was refused. While a failed try cools down nobody asks for another.
    async fn replaced(&self, platform: &Platform, refused: i64) -> Result<Got, CallError> {
        let inner = &self.0;
        if let Some(error) = inner.refusals.cools_down(platform.id, refused) {
            return Err(error);
        }
        let wish = Wish { seen: Some(refused), cause: Cause::Refused, urgent: true };
        match self.refresh(platform, Holder::Component, wish).await {
            Ok(got) => {
                inner.keep_component(platform.id, &got.token);
                Ok(got)
            }
            Err(error) => {
                inner.refusals.failed(platform.id, refused, &error);
                Err(error)
            }
        }
    }

    pub(super) async fn stored(&self, platform: &Platform, holder: &Holder) -> Result<Option<StoredToken>, CallError> {
        self.0.vault.token(platform.id, holder).await.map_err(|error| vault_silent(&error))
    }

    /// Joins or starts the refresh of one holder; never answers with the version that was seen.
    async fn refresh(&self, platform: &Platform, holder: Holder, wish: Wish) -> Result<Got, CallError> {
        // A flight found under way may end with the very token that was refused: then one of our own.
        for _ in 0..2 {
            let (flight, ours) = self.flight(platform, &holder, wish);
            let got = flight.await?;
            if Some(got.token.version) != wish.seen {
                return Ok(Got { bought: got.bought && ours, ..got });
            }
        }
        Err(no_token(TokenFault::BeingRefreshed))
    }

    /// The flight, and whether it is of this wish.
    fn flight(&self, platform: &Platform, holder: &Holder, wish: Wish) -> (Flight, bool) {
        let key = (platform.id, holder.clone());
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(&key) {
            return (flight.clone(), false);
        }
        let landing = Landing { inner: Arc::clone(&self.0), key: key.clone() };
        let (own, platform) = (self.clone(), platform.clone());
        let task = tokio::spawn(async move {
            let landing = landing;
            match &landing.key.1 {
                Holder::Component => own.refresh_component(&platform, wish).await,
                Holder::Merchant(appid) => own.refresh_merchant(&platform, appid, wish).await,
            }
        });
        // A task that died holds its lease in the vault until it ends.
        let died = || Err(no_token(TokenFault::BeingRefreshed));
        let flight = task.map(move |joined| joined.unwrap_or_else(|_| died())).boxed().shared();
        flights.insert(key, flight.clone());
        (flight, true)
    }
}

impl Inner {
    /// How long before its end a token is refreshed: spread by holder, and at most a quarter of the lifetime.
    pub(super) fn margin(&self, platform: PlatformId, holder: &Holder) -> Duration {
        let lifetime_secs = match holder {
            Holder::Component => &self.component_lifetime_secs,
            Holder::Merchant(_) => &self.merchant_lifetime_secs,
        };
        let mut hasher = DefaultHasher::new();
        (platform, holder).hash(&mut hasher);
        let spread = Duration::from_secs(hasher.finish() % (SPREAD_SECS + 1));
        (MARGIN + spread).min(Duration::from_secs(lifetime_secs.load(Ordering::Relaxed)) / 4)
    }

    fn cached(&self, platform: PlatformId) -> Option<Cached> {
        lock(&self.components).get(&platform).cloned()
    }

    fn keep_component(&self, platform: PlatformId, token: &StoredToken) {
        let cached = Cached { token: token.clone(), read_at: Instant::now() };
        let mut components = lock(&self.components);
        // Of two answers that cross the newer version stays.
        if components.get(&platform).is_none_or(|held| held.token.version <= token.version) {
            components.insert(platform, cached);
        }
    }
}

/// The vault did not answer: a passing failure, in which nothing was sent.
pub(super) fn vault_silent(error: &PortError) -> CallError {
    cooling_down(error.to_string())
}

/// A passing failure. The vault knows when the next try is allowed; this is only when it is worth asking.
pub(super) fn cooling_down(reason: String) -> CallError {
    no_token(TokenFault::CoolingDown { reason, wait: Duration::from_secs(10) })
}
