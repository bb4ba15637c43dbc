//! Component tokens that WeChat refused, and the tries for others that failed, as this process knows them. One merchant's
//! refusal says little of the token; that of several, with no success between, says that it is dead.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Platform;
use super::own::{Own, vault_silent};
use super::{Got, component_refused, lock, no_token};
use crate::domain::ports::{Holder, StoredToken};
use crate::domain::{CallError, Endpoint, PlatformId, TokenFault};

/// Different merchants that must have refused it.
const MERCHANTS: usize = 3;
/// Merchants that must have refused two of the platform's tokens in a row before that is the platform's trouble.
const REFUSERS: u64 = 3;
/// Another process fetches one: it is looked again after this.
const ELSEWHERE: Duration = Duration::from_secs(1);

const STOLEN: &str = "the component token was refused right after it was bought, three times within ten minutes: another system \
                      fetches component tokens for this platform, stop it or use external tokens (WXPATROL_TOKEN_URL)";

/// What was refused, one token for each platform.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<PlatformId, Refused>>);

#[derive(Default)]
struct Refused {
    version: i64,
    /// The first few merchants whose calls refused it.
    merchants: Vec<String>,
    /// A call about no merchant refused it.
    certain: bool,
    /// The last try for another one failed, and when the next is worth it.
    failed: Option<(TokenFault, Instant)>,
}

impl Refusals {
    /// Notes a refusal, in a call about a merchant or about none.
    pub(super) fn note(&self, platform: PlatformId, version: i64, about: Option<&str>) {
        let mut all = lock(&self.0);
        let refused = of(&mut all, platform, version);
        match about {
            None => refused.certain = true,
            Some(appid) if refused.merchants.len() < MERCHANTS => {
                if !refused.merchants.iter().any(|known| known == appid) {
                    refused.merchants.push(appid.to_owned());
                }
            }
            Some(_) => {}
        }
    }

    /// Another process knows that the token is dead.
    pub(super) fn known_dead(&self, platform: PlatformId, version: i64) {
        of(&mut lock(&self.0), platform, version).certain = true;
    }

    /// WeChat took the token: who refused it before was odd.
    pub(super) fn works(&self, platform: PlatformId, version: i64) {
        let mut all = lock(&self.0);
        if all.get(&platform).is_some_and(|refused| refused.version == version) {
            all.remove(&platform);
        }
    }

    /// The version of the token that nothing is to be called with any more.
    pub(super) fn dead(&self, platform: PlatformId) -> Option<i64> {
        let all = lock(&self.0);
        let refused = all.get(&platform)?;
        (refused.certain || refused.merchants.len() >= MERCHANTS).then_some(refused.version)
    }

    /// A try for another token failed.
    pub(super) fn failed(&self, platform: PlatformId, version: i64, error: &CallError) {
        let CallError::NoToken(fault) = error else { return };
        let wait = match fault {
            TokenFault::CoolingDown { wait, .. } => *wait,
            TokenFault::BeingRefreshed => ELSEWHERE,
            _ => return,
        };
        of(&mut lock(&self.0), platform, version).failed = Some((fault.clone(), Instant::now() + wait));
    }

    /// The failure of the last try, while the next is not worth it.
    pub(super) fn cools_down(&self, platform: PlatformId, version: i64) -> Option<CallError> {
        let all = lock(&self.0);
        let (fault, until) = all.get(&platform).filter(|refused| refused.version == version)?.failed.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let mut fault = fault.clone();
        if let TokenFault::CoolingDown { wait, .. } = &mut fault {
            *wait = left;
        }
        Some(no_token(fault))
    }
}

impl Own {
    /// Notes a refusal, here and, once it shows that the token is dead, for every process.
    pub(super) async fn note_refusal(&self, platform: &Platform, version: i64, about: Option<&str>) {
        let known = self.0.refusals.dead(platform.id);
        self.0.refusals.note(platform.id, version, about);
        let dead = self.0.refusals.dead(platform.id).filter(|dead| Some(*dead) != known);
        if let Some(dead) = dead
            && let Err(error) = self.0.vault.note_dead(platform.id, dead).await
        {
            tracing::warn!(%error, "that the component token is dead could not be written down; other processes find out");
        }
    }

    /// A call about a merchant refused the second of the platform's tokens as well. One that was bought on its word: one
    /// merchant is odd; several in a short time are the platform's trouble, if a call about nobody is refused too. One that was
    /// found may have died as the first did, at any time since it was bought: another is bought in its place, and the caller
    /// tries again.
    pub(super) async fn component_refused_again(
        &self,
        platform: &Platform,
        appid: &str,
        second: &Got,
    ) -> Result<(), CallError> {
        if !second.bought {
            let third = self.component_after_refusal(platform, &second.token, Some(appid)).await?;
            return third.map_or(Ok(()), |_| Err(no_token(TokenFault::BeingRefreshed)));
        }
        let merchants = self.0.vault.book_odd(platform.id, appid).await.map_err(|error| vault_silent(&error))?;
        if merchants >= REFUSERS && self.list_refuses(platform, &second.token).await? {
            let reason = STOLEN.to_owned();
            return Err(no_token(TokenFault::Platform { errcode: Some(40001), reason, certain: true }));
        }
        tracing::warn!(
            merchant.id = appid,
            "a call about this merchant refused two component tokens in a row; for a day its refusals have none bought"
        );
        Ok(())
    }

    /// Whether WeChat refuses this component token, and it is the newest, for the list of merchants, which is about none of
    /// them. Where it is not asked, or does not answer, nothing is proven.
    async fn list_refuses(&self, platform: &Platform, token: &StoredToken) -> Result<bool, CallError> {
        let asked = async {
            let _permit = self.permit(platform, Endpoint::ApiGetAuthorizerList).await?;
            self.0.wechat.authorizer_list(platform, &token.access_token, 0, 1).await
        };
        // The lease of whoever found it does not wait for ever.
        match tokio::time::timeout(self.0.wechat.timeouts().total, asked).await {
            Ok(Err(error)) if component_refused(&error) => {
                let newest = self.stored(platform, &Holder::Component).await?;
                Ok(newest.is_some_and(|newest| newest.version == token.version))
            }
            Ok(Ok(_)) => {
                self.0.refusals.works(platform.id, token.version);
                Ok(false)
            }
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }

    /// Hears which component token is dead by the word of other processes.
    pub(super) async fn hear_of_dead(&self, platform: &Platform) -> Result<(), CallError> {
        if let Some(dead) = self.0.vault.dead(platform.id).await.map_err(|error| vault_silent(&error))? {
            self.0.refusals.known_dead(platform.id, dead);
        }
        Ok(())
    }

    /// This component token, or another one when it is the one that other processes found dead.
    pub(super) async fn unless_dead(
        &self,
        platform: &Platform,
        component: StoredToken,
        dead: Option<i64>,
    ) -> Result<StoredToken, CallError> {
        if dead != Some(component.version) {
            return Ok(component);
        }
        self.0.refusals.known_dead(platform.id, component.version);
        self.component(platform).await
    }
}

fn of(all: &mut HashMap<PlatformId, Refused>, platform: PlatformId, version: i64) -> &mut Refused {
    let refused = all.entry(platform).or_default();
    if refused.version != version {
        *refused = Refused { version, ..Refused::default() };
    }
    refused
}
