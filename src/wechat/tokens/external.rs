//! Tokens that an existing platform keeps: asked for when they are needed, and never refreshed here.
//!
//! Nothing of them is stored at rest. A few are remembered for a minute, so that the checks of one merchant ask once. A
//! source that gives no answers is not asked for every merchant: after a row of failures it is left alone for moments, and
//! who would have been asked about meanwhile has not been tried.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::super::Platform;
use super::{Lines, lock, no_token};
use crate::domain::ports::{ForeignToken, Holder, StoredToken, TokenSource};
use crate::domain::{CallError, PlatformId, TokenFault};

/// A token is asked for again after this, also when its keeper says that it lives longer or says nothing.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Tokens remembered at most.
const REMEMBERED_MAX: usize = 4096;
/// Questions under way at most.
const ASKED_AT_ONCE: usize = 16;
/// Failures in a row after which the source, and not one merchant's answer, is taken for the trouble.
const FAILURES: u32 = 8;
/// How long it is then left alone.
pub(super) const LEFT_ALONE: Duration = Duration::from_secs(5);
/// The same for one that has served somebody in the last half minute: it may fail for some merchants only.
pub(super) const LEFT_ALONE_BRIEFLY: Duration = Duration::from_secs(1);
const SERVED_LATELY: Duration = Duration::from_secs(30);
/// A source that may only be restarting is waited for so long; after that nobody waits for it.
pub(super) const RESTARTS_WITHIN: Duration = Duration::from_secs(240);

const NO_PLATFORM_TOKEN: &str = "the platform's own token is not known: set WXPATROL_COMPONENT_TOKEN_URL beside \
                                 WXPATROL_TOKEN_URL, or WXPATROL_COMPONENT_TOKEN_SQL beside WXPATROL_TOKEN_SQL";

pub(super) struct External {
    source: Arc<dyn TokenSource>,
    asked: Semaphore,
    remembered: Mutex<HashMap<(PlatformId, Holder), Remembered>>,
    health: Mutex<Health>,
    /// Tells tokens apart without keeping them.
    digest: RandomState,
    silent: Lines,
    dead: Lines,
}

struct Remembered {
    token: StoredToken,
    until: Instant,
}

/// How the source answered lately.
#[derive(Default)]
struct Health {
    /// Failures in a row.
    failures: u32,
    /// Those of them that came since it was left alone last.
    since_left_alone: u32,
    /// When the row began.
    silent_since: Option<Instant>,
    /// Until when it is left alone, and what it said last.
    left_alone: Option<(Instant, String)>,
    /// When it last gave an answer.
    served_at: Option<Instant>,
}

impl Health {
    fn resting(&self, reason: &str) -> TokenFault {
        let over = self.silent_since.is_some_and(|since| since.elapsed() > RESTARTS_WITHIN);
        TokenFault::SourceResting { reason: reason.to_owned(), over }
    }
}

impl External {
    pub(super) fn new(source: Arc<dyn TokenSource>) -> Self {
        Self {
            source,
            asked: Semaphore::new(ASKED_AT_ONCE),
            remembered: Mutex::default(),
            health: Mutex::default(),
            digest: RandomState::new(),
            silent: Lines::default(),
            dead: Lines::default(),
        }
    }

    pub(super) fn knows_the_platform(&self) -> bool {
        self.source.knows_the_platform()
    }

    pub(super) async fn fresh(
        &self,
        platform: &Platform,
        appid: &str,
        asked_for: Option<StoredToken>,
    ) -> Result<StoredToken, CallError> {
        match asked_for {
            Some(token) => Ok(token),
            None => self.remembered_or_asked(platform, Holder::Merchant(appid.to_owned()), true).await,
        }
    }

    pub(super) async fn component(&self, platform: &Platform) -> Result<StoredToken, CallError> {
        if !self.knows_the_platform() {
            return Err(no_token(TokenFault::NoPlatformToken(NO_PLATFORM_TOKEN.to_owned())));
        }
        self.remembered_or_asked(platform, Holder::Component, false).await
    }

    /// Asks once more; the refused token again is a dead one.
    pub(super) async fn after_refusal(
        &self,
        platform: &Platform,
        appid: &str,
        used: &StoredToken,
    ) -> Result<StoredToken, CallError> {
        self.another(platform, Holder::Merchant(appid.to_owned()), used).await
    }

    pub(super) async fn component_after_refusal(
        &self,
        platform: &Platform,
        used: &StoredToken,
    ) -> Result<StoredToken, CallError> {
        self.another(platform, Holder::Component, used).await
    }

    /// WeChat refuses what the source hands out.
    pub(super) fn dead(&self, whose: &str) -> CallError {
        let sentence = format!(
            "the external token source hands out a dead token for {whose}: WeChat refuses it, and asking again brought \
             no better one; whoever keeps the tokens must refresh it"
        );
        match self.dead.next() {
            (true, last) => tracing::warn!(
                token.of = whose,
                "{sentence}{}",
                if last { ". More of these are only in `wxpatrol report attention`, for an hour" } else { "" }
            ),
            (false, _) => tracing::debug!(token.of = whose, "{sentence}"),
        }
        no_token(TokenFault::Dead(sentence))
    }

    async fn another(&self, platform: &Platform, holder: Holder, used: &StoredToken) -> Result<StoredToken, CallError> {
        let whose = whose(&holder).to_owned();
        let known = self.remembered(platform.id, &holder).filter(|token| token.version != used.version);
        let token = match known {
            Some(token) => token,
            None => self.ask(platform, holder, false).await?,
        };
        if token.version == used.version { Err(self.dead(&whose)) } else { Ok(token) }
    }

    async fn remembered_or_asked(
        &self,
        platform: &Platform,
        holder: Holder,
        waits: bool,
    ) -> Result<StoredToken, CallError> {
        match self.remembered(platform.id, &holder) {
            Some(token) => Ok(token),
            None => self.ask(platform, holder, waits).await,
        }
    }

    fn remembered(&self, platform: PlatformId, holder: &Holder) -> Option<StoredToken> {
        let remembered = lock(&self.remembered);
        let entry = remembered.get(&(platform, holder.clone()))?;
        let left = entry.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| StoredToken { good_for: left, ..entry.token.clone() })
    }

    fn remember(&self, platform: PlatformId, holder: Holder, token: &StoredToken) {
        let now = Instant::now();
        let mut remembered = lock(&self.remembered);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, entry| entry.until > now);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
        }
        let until = now + token.good_for.min(REMEMBERED);
        remembered.insert((platform, holder), Remembered { token: token.clone(), until });
    }

    #[cfg(test)]
    pub(super) fn remembered_count(&self) -> usize {
        lock(&self.remembered).len()
    }

    /// Lets time pass for what is remembered here.
    #[cfg(test)]
    pub(super) fn pass(&self, time: Duration) {
        lock(&self.remembered).values_mut().for_each(|entry| entry.until -= time);
        let mut health = lock(&self.health);
        health.left_alone.iter_mut().for_each(|(until, _)| *until -= time);
        let Health { silent_since, served_at, .. } = &mut *health;
        silent_since.iter_mut().chain(served_at).for_each(|at| *at -= time);
    }

    /// Asks the source, after it was left alone: one who `waits` waits that long, once. So a source that is away is met by few
    /// at a time, and the claims of all others are not written again and again.
    async fn ask(&self, platform: &Platform, holder: Holder, mut waits: bool) -> Result<StoredToken, CallError> {
        let _asked = loop {
            let asked = self.asked.acquire().await.expect("nobody closes the semaphore");
            let Some((until, fault)) = self.left_alone() else { break asked };
            if !waits || matches!(fault, TokenFault::SourceResting { over: true, .. }) {
                return Err(no_token(fault));
            }
            drop(asked);
            waits = false;
            tokio::time::sleep_until(until).await;
        };
        let answer = match self.source.token(&platform.component_appid, &holder).await {
            Ok(answer) => answer,
            Err(fault) => return Err(self.failed(fault.0)),
        };
        self.answers();
        let not_handed_out = |sentence: String| Err(no_token(TokenFault::NotHandedOut(sentence)));
        let Some(ForeignToken { access_token, good_for }) = answer else {
            return not_handed_out(format!("the external token source knows no token of {}", whose(&holder)));
        };
        let good_for = good_for.unwrap_or(REMEMBERED);
        if good_for.is_zero() {
            let sentence = "the external token source says itself that its token is over, of";
            return not_handed_out(format!("{sentence} {}", whose(&holder)));
        }
        let version = i64::from_ne_bytes(self.digest.hash_one(access_token.expose_secret()).to_ne_bytes());
        let token = StoredToken { access_token, good_for, version };
        self.remember(platform.id, holder, &token);
        Ok(token)
    }

    /// Until when the source is left alone, and what that means for whoever would ask.
    fn left_alone(&self) -> Option<(Instant, TokenFault)> {
        let health = lock(&self.health);
        let (until, reason) = health.left_alone.as_ref()?;
        (*until > Instant::now()).then(|| (*until, health.resting(reason)))
    }

    fn failed(&self, sentence: String) -> CallError {
        let mut health = lock(&self.health);
        health.failures = health.failures.saturating_add(1);
        health.since_left_alone += 1;
        health.silent_since.get_or_insert_with(Instant::now);
        let first = health.failures == 1;
        if health.since_left_alone >= FAILURES {
            health.since_left_alone = 0;
            let served = health.served_at.is_some_and(|at| at.elapsed() < SERVED_LATELY);
            let rest = if served { LEFT_ALONE_BRIEFLY } else { LEFT_ALONE };
            health.left_alone = Some((Instant::now() + rest, sentence.clone()));
        }
        // In a long row it is the source's failure, and no merchant's try.
        let fault = if health.failures < FAILURES {
            TokenFault::SourceSilent(sentence.clone())
        } else {
            health.resting(&sentence)
        };
        drop(health);
        // The first of a row is said, and then few: every merchant's outcome has the sentence as well.
        if first && self.silent.next().0 {
            tracing::warn!("{sentence}; its merchants are put off until it answers");
        } else {
            tracing::debug!("{sentence}");
        }
        no_token(fault)
    }

    fn answers(&self) {
        let well = Health { served_at: Some(Instant::now()), ..Health::default() };
        let failures = std::mem::replace(&mut *lock(&self.health), well).failures;
        if failures >= FAILURES {
            tracing::info!(failures, "the external token source answers again");
        }
    }
}

fn whose(holder: &Holder) -> &str {
    match holder {
        Holder::Component => "the platform itself",
        Holder::Merchant(appid) => appid,
    }
}
