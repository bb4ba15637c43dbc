//! The world on WeChat's side: HTTP out, its tokens and its pace. Knows nothing of Postgres: what must be kept, and the
//! limits that all processes share, are asked for through the traits of [`crate::domain::ports`].
//!
//! # Where secrets stop
//!
//! Tokens, the secret and the ticket are [`secrecy::SecretString`] everywhere; they are exposed in two places only: in
//! the URL that `client` builds as the last thing before a call, and in the bodies that `platform_calls` builds. No
//! error that leaves this module holds a URL, a body or a secret.

mod body;
mod callback_form;
mod client;
mod pace;
mod platform_calls;
mod reply;
mod request;
mod tokens;

#[cfg(test)]
mod fixture;

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::time::timeout_at;

pub use client::{Answer, ClientError, Timeouts, Wechat};
pub use pace::{Closed, Pace, PaceConfig, Permit};
pub use platform_calls::{
    AccountKind, AuthorizerInfo, AuthorizerPage, AuthorizerToken, ComponentToken, ListedAuthorizer, PAGE_MAX,
    PushTicket,
};
pub use reply::{DayQuota, Frequency, LinkAnswer, LinkEntry, Quota, Reply};
pub use request::Request;
pub use tokens::Tokens;

use crate::domain::ports::{SliceSource, StoredToken, TokenVault};
use crate::domain::{CallError, Class, Endpoint, PlatformId, TokenFault};

/// A third-party platform (component): who we are towards WeChat.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Its row number.
    pub id: PlatformId,
    /// Its appid.
    pub component_appid: String,
    /// Its secret.
    pub secret: SecretString,
}

/// The whole of the wire: client, pace and tokens together. Clones share everything.
#[derive(Debug, Clone)]
pub struct Wire {
    wechat: Wechat,
    pace: Arc<Pace>,
    tokens: Tokens,
}

impl Wire {
    /// The wire over what the store keeps for it.
    #[must_use]
    pub fn new(wechat: Wechat, vault: Arc<dyn TokenVault>, source: Arc<dyn SliceSource>, limits: PaceConfig) -> Self {
        let pace = Arc::new(Pace::new(source, limits));
        let tokens = Tokens::new(wechat.clone(), vault, Arc::clone(&pace));
        Self { wechat, pace, tokens }
    }

    /// The client, for calls with a token that the caller holds.
    #[must_use]
    pub fn wechat(&self) -> &Wechat {
        &self.wechat
    }

    /// The pace of every endpoint.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Makes a merchant's call: a fresh token, the call, and when the token is refused another token and the call once
    /// more. The caller holds the permit (and the intent) of the first call; the repeat takes a permit of its own and
    /// belongs to the same intent. Nothing is begun after the deadline.
    pub async fn call_with_token(
        &self,
        platform: &Platform,
        appid: &str,
        stored: Option<StoredToken>,
        request: &Request,
        deadline: Instant,
    ) -> Answer {
        let token = match timeout_at(deadline.into(), self.tokens.fresh(platform, appid, stored)).await {
            Ok(Ok(token)) => token,
            Ok(Err(error)) => return not_called(error),
            Err(_elapsed) => return not_called(CallError::NoToken(TokenFault::BeingRefreshed)),
        };
        let Some(within) = left(deadline) else {
            return not_called(CallError::NotConnected("the deadline was over before the call".to_owned()));
        };
        let answer = self.wechat.call_within(&token.access_token, request, within).await;
        match &answer.result {
            Err(error @ CallError::Refused { class: Class::Token, .. }) => {
                tracing::info!(
                    merchant.id = appid,
                    endpoint.name = request.endpoint().name(),
                    token.good_for_secs = token.good_for.as_secs(),
                    %error,
                    "a stored token was refused"
                );
            }
            _ => return answer,
        }
        let repeat = async {
            let token = self.tokens.after_refusal(platform, appid, &token).await?;
            // Without a slot the refusal stands, and the item comes due again with the new token.
            Ok(match self.pace.permit(platform.id, request.endpoint()).await {
                Ok(permit) if permit.still_good() => Some(token),
                Ok(_) | Err(Closed { .. }) => None,
            })
        };
        match timeout_at(deadline.into(), repeat).await {
            Ok(Ok(Some(token))) => match left(deadline) {
                Some(within) => self.wechat.call_within(&token.access_token, request, within).await,
                None => answer,
            },
            Ok(Ok(None)) | Err(_) => answer,
            Ok(Err(error)) => Answer { result: Err(error), ..answer },
        }
    }

    /// One page of the authorizer list. The caller holds the permit.
    pub async fn authorizer_list(
        &self,
        platform: &Platform,
        offset: u64,
        count: u32,
    ) -> Result<AuthorizerPage, CallError> {
        let component = self.tokens.component(platform, None).await?;
        match self.wechat.authorizer_list(platform, &component.access_token, offset, count).await {
            Err(error) if error.class() == Class::Token => {
                let component =
                    self.another_component(platform, &component, error, Endpoint::ApiGetAuthorizerList).await?;
                self.wechat.authorizer_list(platform, &component.access_token, offset, count).await
            }
            answer => answer,
        }
    }

    /// What is known about one merchant. The caller holds the permit.
    pub async fn authorizer_info(&self, platform: &Platform, appid: &str) -> Result<AuthorizerInfo, CallError> {
        let component = self.tokens.component(platform, None).await?;
        match self.wechat.authorizer_info(platform, &component.access_token, appid).await {
            Err(error) if error.class() == Class::Token => {
                let component =
                    self.another_component(platform, &component, error, Endpoint::ApiGetAuthorizerInfo).await?;
                self.wechat.authorizer_info(platform, &component.access_token, appid).await
            }
            answer => answer,
        }
    }

    /// The component token and the permit for the one repeat; without a slot the refusal stands.
    async fn another_component(
        &self,
        platform: &Platform,
        used: &StoredToken,
        refusal: CallError,
        endpoint: Endpoint,
    ) -> Result<StoredToken, CallError> {
        let component = self.tokens.component(platform, Some(used.version)).await?;
        match self.pace.permit(platform.id, endpoint).await {
            Ok(_permit) => Ok(component),
            Err(Closed { .. }) => Err(refusal),
        }
    }
}

/// What is left until a deadline, `None` when it is over.
fn left(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

/// The answer when no call was made.
fn not_called(error: CallError) -> Answer {
    Answer { result: Err(error), rid: None, latency: Duration::ZERO }
}

#[cfg(test)]
mod tests;
