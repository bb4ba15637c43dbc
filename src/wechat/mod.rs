//! The world on WeChat's side: HTTP out, its tokens and its pace. Knows nothing of Postgres: what must be kept, and the
//! limits that all processes share, are asked for through the traits of [`crate::domain::ports`].
//!
//! # Where secrets stop
//!
//! Tokens, the secret and the ticket are [`secrecy::SecretString`] everywhere; they are exposed in few places only: in
//! the URL that `client` builds as the last thing before a call, in the bodies that `platform_calls` builds, and in the
//! request that `tokens::service` makes of an external source. No error that leaves this module holds a URL, a body or
//! a secret.

mod authorization;
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

pub use authorization::Authorization;
pub use client::{Answer, ClientError, Timeouts, Wechat};
pub use pace::{Closed, Pace, PaceConfig, Permit};
pub use platform_calls::{
    AccountKind, AuthorizerInfo, AuthorizerPage, AuthorizerToken, ComponentToken, ListedAuthorizer, PAGE_MAX,
    PushTicket,
};
pub use reply::{DayQuota, Frequency, LinkAnswer, LinkEntry, Quota, Reply};
pub use request::Request;
use tokens::Repeat;
pub use tokens::{MARGIN_MAX, TokenService, TokenServiceSettings, TokenTemplate, Tokens};

use crate::domain::ports::{SliceSource, StoredToken, TokenSource, TokenVault};
use crate::domain::{CallError, Class, Endpoint, PlatformId, TokenFault};

/// A third-party platform (component): who we are towards WeChat.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Its row number.
    pub id: PlatformId,
    /// Its appid.
    pub component_appid: String,
    /// Its secret; `None` when another system keeps the tokens, so that nothing is asked with it.
    pub secret: Option<SecretString>,
}

/// The whole of the wire: client, pace and tokens together. Clones share everything.
#[derive(Debug, Clone)]
pub struct Wire {
    wechat: Wechat,
    pace: Arc<Pace>,
    tokens: Tokens,
}

impl Wire {
    /// The wire over what the store keeps for it, tokens included.
    #[must_use]
    pub fn new(wechat: Wechat, vault: Arc<dyn TokenVault>, slices: Arc<dyn SliceSource>, limits: PaceConfig) -> Self {
        let pace = Arc::new(Pace::new(slices, limits));
        let tokens = Tokens::own(wechat.clone(), vault, Arc::clone(&pace));
        Self { wechat, pace, tokens }
    }

    /// The wire with the tokens of an existing platform.
    #[must_use]
    pub fn with_external_tokens(
        wechat: Wechat,
        source: Arc<dyn TokenSource>,
        slices: Arc<dyn SliceSource>,
        limits: PaceConfig,
    ) -> Self {
        Self { wechat, pace: Arc::new(Pace::new(slices, limits)), tokens: Tokens::external(source) }
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
        if let Some(refusal) = token_refusal(&answer.result) {
            tracing::info!(
                merchant.id = appid,
                endpoint.name = request.endpoint().name(),
                token.good_for_secs = token.good_for.as_secs(),
                error = %refusal,
                "a token was refused"
            );
            // Few calls come here, and every caller would hold room for it.
            return Box::pin(self.once_more(platform, appid, &token, request, deadline, answer)).await;
        }
        answer
    }

    /// Repeats a call whose token was refused, with another one; its answer, or `refused` when there is no other token or no
    /// slot in time.
    async fn once_more(
        &self,
        platform: &Platform,
        appid: &str,
        token: &StoredToken,
        request: &Request,
        deadline: Instant,
        refused: Answer,
    ) -> Answer {
        let other = async {
            let other = self.tokens.after_refusal(platform, appid, token).await?;
            // Without a slot the refusal stands, and the item comes due again with the new token.
            Ok(match self.pace.permit(platform.id, request.endpoint()).await {
                Ok(permit) if permit.still_good() => Some(other),
                Ok(_) | Err(Closed { .. }) => None,
            })
        };
        let other = match timeout_at(deadline.into(), other).await {
            Ok(Ok(Some(other))) => other,
            Ok(Ok(None)) | Err(_) => return refused,
            Ok(Err(error)) => return Answer { result: Err(error), ..refused },
        };
        let Some(within) = left(deadline) else { return refused };
        let again = self.wechat.call_within(&other.token.access_token, request, within).await;
        let repeat = match &again.result {
            Ok(_) => Repeat::Accepted,
            Err(CallError::Refused { class: Class::Token, .. }) => Repeat::Refused,
            // Whether a busy WeChat has looked at the token nobody knows.
            Err(CallError::Refused { class, .. }) if *class != Class::Transient => Repeat::Accepted,
            Err(_) => Repeat::Unclear,
        };
        match self.tokens.repeated(platform, appid, token, &other, repeat).await {
            Ok(()) => again,
            Err(error) => Answer { result: Err(error), ..again },
        }
    }

    /// One page of the authorizer list. The caller holds the permit. May be repeated.
    ///
    /// # Errors
    /// There is no token of the platform's own, or why there is no usable page.
    pub async fn authorizer_list(
        &self,
        platform: &Platform,
        offset: u64,
        count: u32,
    ) -> Result<AuthorizerPage, CallError> {
        let call = |token| async move { self.wechat.authorizer_list(platform, &token, offset, count).await };
        self.with_component(platform, Endpoint::ApiGetAuthorizerList, None, call).await
    }

    /// What is known about one merchant. The caller holds the permit. May be repeated.
    ///
    /// # Errors
    /// There is no token of the platform's own, or why there is no usable answer.
    pub async fn authorizer_info(&self, platform: &Platform, appid: &str) -> Result<AuthorizerInfo, CallError> {
        let call = |token| async move { self.wechat.authorizer_info(platform, &token, appid).await };
        self.with_component(platform, Endpoint::ApiGetAuthorizerInfo, Some(appid), call).await
    }

    /// The tokens for an authorization code. The caller holds the permit. Not to be repeated when it may have arrived:
    /// WeChat takes a code once.
    ///
    /// # Errors
    /// There is no token of the platform's own, or why there is no usable answer; the code may be used up all the same.
    pub async fn query_auth(
        &self,
        platform: &Platform,
        appid: &str,
        code: &SecretString,
    ) -> Result<Authorization, CallError> {
        let call = |token| async move { self.wechat.query_auth(platform, &token, appid, code).await };
        self.with_component(platform, Endpoint::ApiQueryAuth, Some(appid), call).await
    }

    /// Makes a call with the platform's own token, and when that is refused once more with another one, if there is one.
    /// Without a slot for the repeat the refusal stands.
    async fn with_component<T, C: Future<Output = Result<T, CallError>>>(
        &self,
        platform: &Platform,
        endpoint: Endpoint,
        about: Option<&str>,
        call: impl Fn(SecretString) -> C,
    ) -> Result<T, CallError> {
        let token = self.tokens.component(platform).await?;
        let answer = call(token.access_token.clone()).await;
        if token_refusal(&answer).is_none() {
            return answer;
        }
        let Some(other) = self.tokens.component_after_refusal(platform, &token, about).await? else { return answer };
        match self.pace.permit(platform.id, endpoint).await {
            Ok(permit) if permit.still_good() => {}
            Ok(_) | Err(Closed { .. }) => return answer,
        }
        let again = call(other.token.access_token.clone()).await;
        if token_refusal(&again).is_some() {
            self.tokens.component_refused_again(platform, about, &other).await?;
        }
        again
    }
}

/// The refusal, when a call was refused for its token.
fn token_refusal<T>(answer: &Result<T, CallError>) -> Option<&CallError> {
    answer.as_ref().err().filter(|error| matches!(error, CallError::Refused { class: Class::Token, .. }))
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
