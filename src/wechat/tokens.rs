//! The tokens that calls are made with. Either wxpatrol's own (ticket -> component token -> authorizer token, refreshed
//! when used), or those of an existing platform that is asked for them and alone refreshes them. Never both: two
//! refreshers take each other's tokens away.
//!
//! Nothing that fails here has sent the caller's call, so every failure is [`CallError::NoToken`].

mod expiry;
mod external;
mod own;
mod refresh;
mod refusals;
mod service;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use own::MARGIN_MAX;
pub use service::{TokenService, TokenServiceSettings, TokenTemplate};

use super::{Pace, Platform, Wechat};
use crate::domain::ports::{StoredToken, TokenSource, TokenVault};
use crate::domain::{CallError, TokenFault};
use external::External;
use own::Own;

/// A token that is refused with more than this to live was not refused for its age.
const LONG_BEFORE_ITS_END: Duration = Duration::from_secs(600);

/// The tokens of all platforms in this process. Clones share everything.
#[derive(Clone)]
pub struct Tokens(Keeper);

#[derive(Clone)]
enum Keeper {
    /// wxpatrol keeps and refreshes them.
    Own(Own),
    /// Another system does, and is asked.
    External(Arc<External>),
}

/// The token to repeat a refused call with.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// Another token than the refused one.
    pub token: StoredToken,
    /// Nobody here had refreshed the refused token, and it had long to live.
    contested: bool,
}

/// A token in the place of a refused one, and whether it was bought on that refusal or found.
#[derive(Debug, Clone)]
pub struct Got {
    /// The token.
    pub token: StoredToken,
    bought: bool,
}

impl Got {
    fn found(token: StoredToken) -> Self {
        Self { token, bought: false }
    }
}

/// What WeChat made of the token of a repeated call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It took it, whatever it said to the call.
    Accepted,
    /// It refused this one as well.
    Refused,
    /// It gave no answer that says.
    Unclear,
}

impl Tokens {
    /// Tokens kept in a vault, refreshed through a client at a pace.
    #[must_use]
    pub fn own(wechat: Wechat, vault: Arc<dyn TokenVault>, pace: Arc<Pace>) -> Self {
        Self(Keeper::Own(Own::new(wechat, vault, pace)))
    }

    /// Tokens that an existing platform keeps. Nothing is ever refreshed.
    #[must_use]
    pub fn external(source: Arc<dyn TokenSource>) -> Self {
        Self(Keeper::External(Arc::new(External::new(source))))
    }

    /// Whether another system keeps the tokens.
    #[must_use]
    pub fn are_external(&self) -> bool {
        matches!(self.0, Keeper::External(_))
    }

    /// Whether there is a way to the platform's own token, without which nothing can be learnt about merchants.
    #[must_use]
    pub fn know_the_platform(&self) -> bool {
        match &self.0 {
            Keeper::Own(_) => true,
            Keeper::External(external) => external.knows_the_platform(),
        }
    }

    /// A token for a merchant. Of wxpatrol's own: `stored` (read from the vault when `None`) while it is good for longer
    /// than the margin, otherwise a new one; inside the margin the stored one is still used when it cannot be refreshed
    /// at this moment. Of external ones: `stored` as it is, otherwise what their keeper hands out now.
    pub async fn fresh(
        &self,
        platform: &Platform,
        appid: &str,
        stored: Option<StoredToken>,
    ) -> Result<StoredToken, CallError> {
        match &self.0 {
            Keeper::Own(own) => own.fresh(platform, appid, stored).await,
            Keeper::External(external) => external.fresh(platform, appid, stored).await,
        }
    }

    /// A token for a merchant whose token `used` was just refused: one that came in its place meanwhile, otherwise a new
    /// one. External ones are asked for once more; when their keeper still gives the refused one, that is the fault.
    pub async fn after_refusal(
        &self,
        platform: &Platform,
        appid: &str,
        used: &StoredToken,
    ) -> Result<Replacement, CallError> {
        match &self.0 {
            Keeper::Own(own) => own.after_refusal(platform, appid, used).await,
            Keeper::External(external) => {
                Ok(Replacement { token: external.after_refusal(platform, appid, used).await?, contested: false })
            }
        }
    }

    /// What follows from the repeated call: with a token that works, the refused one was perhaps taken away by somebody
    /// else; when both were refused, an external source hands out dead ones. A failure here replaces the refusal.
    pub async fn repeated(
        &self,
        platform: &Platform,
        appid: &str,
        used: &StoredToken,
        replacement: &Replacement,
        repeat: Repeat,
    ) -> Result<(), CallError> {
        match (&self.0, repeat) {
            (Keeper::Own(own), Repeat::Accepted) if replacement.contested => {
                own.contested(platform, appid, used).await;
                Ok(())
            }
            (Keeper::External(external), Repeat::Refused) => Err(external.dead(appid)),
            (Keeper::Own(_) | Keeper::External(_), _) => Ok(()),
        }
    }

    /// The platform's own token.
    pub async fn component(&self, platform: &Platform) -> Result<StoredToken, CallError> {
        match &self.0 {
            Keeper::Own(own) => own.component(platform).await,
            Keeper::External(external) => external.component(platform).await,
        }
    }

    /// The platform's own token after `used` was refused, in a call about a merchant where it was about one. `None`:
    /// there is no other, and the word of this merchant is not enough to have one bought; the refusal stands.
    pub async fn component_after_refusal(
        &self,
        platform: &Platform,
        used: &StoredToken,
        about: Option<&str>,
    ) -> Result<Option<Got>, CallError> {
        match &self.0 {
            Keeper::Own(own) => own.component_after_refusal(platform, used, about).await,
            Keeper::External(external) => {
                external.component_after_refusal(platform, used).await.map(Got::found).map(Some)
            }
        }
    }

    /// Says that the second of the platform's tokens was refused as well. A failure here replaces the refusal.
    pub async fn component_refused_again(
        &self,
        platform: &Platform,
        about: Option<&str>,
        second: &Got,
    ) -> Result<(), CallError> {
        match &self.0 {
            Keeper::Own(own) => match about {
                Some(appid) => own.component_refused_again(platform, appid, second).await,
                None => Ok(()),
            },
            Keeper::External(external) => Err(external.dead("the platform itself")),
        }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("external", &self.are_external()).finish_non_exhaustive()
    }
}

/// Keeps a trouble of all merchants from filling the log: of many equal lines the first of each hour are loud.
#[derive(Default)]
struct Lines(Mutex<Option<(Instant, u32)>>);

impl Lines {
    const LOUD_MAX: u32 = 20;
    const HOUR: Duration = Duration::from_secs(3600);

    /// Whether the next line is loud, and whether it is the last one that is.
    fn next(&self) -> (bool, bool) {
        let mut said = lock(&self.0);
        let now = Instant::now();
        let (since, lines) = said.filter(|(since, _)| now - *since < Self::HOUR).unwrap_or((now, 0));
        *said = Some((since, lines.saturating_add(1)));
        (lines < Self::LOUD_MAX, lines + 1 == Self::LOUD_MAX)
    }
}

/// The failure that a fault is.
fn no_token(fault: TokenFault) -> CallError {
    CallError::NoToken(fault)
}

/// Whether a call that carries the platform's own token was refused for that token.
fn component_refused(error: &CallError) -> bool {
    matches!(error, CallError::Refused { errcode: 40001 | 40014 | 42001 | 42006, .. })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod external_tests;
#[cfg(test)]
mod own_tests;
#[cfg(test)]
mod service_tests;
