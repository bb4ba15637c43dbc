//! The tokens that calls are made with: ticket -> component token -> authorizer token, refreshed when used.
//!
//! One refresher over all processes (the vault's lease), and one flight for each holder in this process. A refresh
//! runs in a task of its own, so that its answer is kept even when whoever wanted it has gone. A failed refresh is never
//! repeated here: the vault cools it down. Nothing that fails here has sent the caller's call, so every failure is
//! [`CallError::NoToken`].

mod refresh;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::{Pace, Platform, Wechat};
use crate::domain::ports::{Holder, PortError, StoredToken, TokenVault};
use crate::domain::{CallError, PlatformId, TokenFault};

/// What WeChat documents; in force until a refresh of this process says otherwise.
const LIFETIME_SECS: u64 = 7200;
/// A token is refreshed when it is good for less than this, and the spread below.
const MARGIN: Duration = Duration::from_secs(300);
/// Merchants authorized together do not all refresh together.
const MERCHANT_SPREAD_SECS: u64 = 120;
const COMPONENT_SPREAD_SECS: u64 = 300;

type Flight = Shared<BoxFuture<'static, Result<StoredToken, CallError>>>;

/// The tokens of all platforms in this process. Clones share everything.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    wechat: Wechat,
    vault: Arc<dyn TokenVault>,
    pace: Arc<Pace>,
    components: Mutex<HashMap<PlatformId, Cached>>,
    /// Refreshes under way; an entry leaves with its task.
    flights: Mutex<HashMap<(PlatformId, Holder), Flight>>,
    component_lifetime_secs: AtomicU64,
    merchant_lifetime_secs: AtomicU64,
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

impl Tokens {
    /// Tokens kept in a vault, refreshed through a client at a pace.
    #[must_use]
    pub fn new(wechat: Wechat, vault: Arc<dyn TokenVault>, pace: Arc<Pace>) -> Self {
        Self(Arc::new(Inner {
            wechat,
            vault,
            pace,
            components: Mutex::default(),
            flights: Mutex::default(),
            component_lifetime_secs: AtomicU64::new(LIFETIME_SECS),
            merchant_lifetime_secs: AtomicU64::new(LIFETIME_SECS),
        }))
    }

    /// A token for a merchant: `stored` (read from the vault when `None`) while it is good for longer than the margin, otherwise a new one. A
    /// stored token inside the margin is still used when it cannot be refreshed at this moment.
    pub async fn fresh(
        &self,
        platform: &Platform,
        appid: &str,
        stored: Option<StoredToken>,
    ) -> Result<StoredToken, CallError> {
        let holder = Holder::Merchant(appid.to_owned());
        let stored = match stored {
            Some(token) => Some(token),
            None => self.0.vault.token(platform.id, &holder).await.map_err(|error| vault_silent(&error))?,
        };
        if let Some(token) = stored.as_ref().filter(|token| token.good_for > self.0.margin(&holder)) {
            return Ok(token.clone());
        }
        let refreshed = self.refresh(platform, holder, stored.as_ref().map(|token| token.version)).await;
        match (refreshed, stored) {
            (
                Err(CallError::NoToken(
                    TokenFault::BeingRefreshed | TokenFault::CoolingDown { .. } | TokenFault::SlowedDown { .. },
                )),
                Some(token),
            ) if token.good_for > self.0.wechat.timeouts().total => Ok(token),
            (refreshed, _) => refreshed,
        }
    }

    /// A token for a merchant whose token `used` was just refused: the stored one if somebody refreshed meanwhile,
    /// otherwise a new one.
    pub async fn after_refusal(
        &self,
        platform: &Platform,
        appid: &str,
        used: &StoredToken,
    ) -> Result<StoredToken, CallError> {
        let holder = Holder::Merchant(appid.to_owned());
        match self.0.vault.token(platform.id, &holder).await.map_err(|error| vault_silent(&error))? {
            Some(token) if token.version != used.version && !token.good_for.is_zero() => Ok(token),
            _ => self.refresh(platform, holder, Some(used.version)).await,
        }
    }

    /// The platform's own token. `refused` is the version of one that WeChat just refused.
    pub async fn component(&self, platform: &Platform, refused: Option<i64>) -> Result<StoredToken, CallError> {
        let inner = &self.0;
        let margin = inner.margin(&Holder::Component);
        let cached = lock(&inner.components).get(&platform.id).cloned();
        if let Some(cached) = cached.filter(|it| Some(it.token.version) != refused && it.good_for() > margin) {
            return Ok(cached.token);
        }
        let stored = inner.vault.token(platform.id, &Holder::Component).await.map_err(|error| vault_silent(&error))?;
        let usable = stored.clone().filter(|token| Some(token.version) != refused);
        if let Some(token) = usable.as_ref().filter(|token| token.good_for > margin) {
            inner.keep_component(platform.id, token);
            return Ok(token.clone());
        }
        let seen = stored.map(|token| token.version).or(refused);
        match (self.refresh(platform, Holder::Component, seen).await, usable) {
            (Ok(token), _) => {
                inner.keep_component(platform.id, &token);
                Ok(token)
            }
            (Err(error), Some(token)) if token.good_for > inner.wechat.timeouts().total => {
                tracing::warn!(%error, "no new component token; the old one is good for {:?} yet", token.good_for);
                Ok(token)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Joins or starts the refresh of one holder; never answers with the version that was seen.
    async fn refresh(&self, platform: &Platform, holder: Holder, seen: Option<i64>) -> Result<StoredToken, CallError> {
        // A flight found under way may end with the very token that was refused: then one of our own.
        for _ in 0..2 {
            let token = self.flight(platform, &holder, seen).await?;
            if Some(token.version) != seen {
                return Ok(token);
            }
        }
        Err(CallError::NoToken(TokenFault::BeingRefreshed))
    }

    fn flight(&self, platform: &Platform, holder: &Holder, seen: Option<i64>) -> Flight {
        let key = (platform.id, holder.clone());
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let landing = Landing { inner: Arc::clone(&self.0), key: key.clone() };
        let (tokens, platform) = (self.clone(), platform.clone());
        let task = tokio::spawn(async move {
            let landing = landing;
            match &landing.key.1 {
                Holder::Component => tokens.refresh_component(&platform, seen).await,
                Holder::Merchant(appid) => tokens.refresh_merchant(&platform, appid, seen).await,
            }
        });
        // A task that died holds its lease in the vault until it ends.
        let died = || Err(CallError::NoToken(TokenFault::BeingRefreshed));
        let flight = task.map(move |joined| joined.unwrap_or_else(|_| died())).boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }
}

impl Inner {
    /// How long before its end a token is refreshed: spread by holder, and at most a quarter of the lifetime.
    fn margin(&self, holder: &Holder) -> Duration {
        let (spread_secs, lifetime_secs) = match holder {
            Holder::Component => (COMPONENT_SPREAD_SECS, &self.component_lifetime_secs),
            Holder::Merchant(_) => (MERCHANT_SPREAD_SECS, &self.merchant_lifetime_secs),
        };
        let mut hasher = DefaultHasher::new();
        holder.hash(&mut hasher);
        let spread = Duration::from_secs(hasher.finish() % (spread_secs + 1));
        (MARGIN + spread).min(Duration::from_secs(lifetime_secs.load(Ordering::Relaxed)) / 4)
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

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The vault did not answer: a passing failure, in which nothing was sent.
fn vault_silent(error: &PortError) -> CallError {
    cooling_down(error.to_string())
}

/// A passing failure. The vault knows when the next try is allowed; this is only when it is worth asking.
fn cooling_down(reason: String) -> CallError {
    CallError::NoToken(TokenFault::CoolingDown { reason, wait: Duration::from_secs(10) })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
