//! One refresh from the claim to its end: the lease is taken when everything else is at hand, covers the calls under
//! it, and is always given back with what came of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::super::platform_calls::AuthorizerToken;
use super::super::{Closed, Permit, Platform};
use super::{Tokens, cooling_down, vault_silent};
use crate::domain::ports::{Holder, RefreshClaim, RefreshLease, Refreshed, StoredToken};
use crate::domain::{CallError, Class, Endpoint, TokenFault, errcode};

/// What the lease adds to the call's deadline.
const LEASE_SLACK: Duration = Duration::from_secs(5);
/// A call under a lease that has less than this left is not begun.
const ROOM_MIN: Duration = Duration::from_secs(1);
/// How long the endpoint is closed in this process after a limit answer.
const SLOW_DOWN: Duration = Duration::from_secs(60);

const NO_TICKET: &str = "no component_verify_ticket is stored: run `wxpatrol ticket -` or set WXPATROL_VERIFY_TICKET";
const STOLEN: &str = "the component token was refused right after it was refreshed: another system fetches component \
                      tokens for this platform, stop it or use external tokens";

/// A lease and the instant at which it ends.
struct Held {
    lease: RefreshLease,
    ends_at: Instant,
}

impl Held {
    /// How long a call under the lease may take, with the time to settle taken off; `None`: too little is left.
    fn room(&self) -> Option<Duration> {
        let left = self.ends_at.saturating_duration_since(Instant::now()).saturating_sub(ROOM_MIN);
        (left >= ROOM_MIN).then_some(left)
    }
}

/// A refresh that brought no token: what the vault is told, and what the caller is told.
struct Failure {
    ending: Refreshed,
    error: CallError,
}

impl Failure {
    fn passing(reason: String) -> Self {
        Self { ending: Refreshed::Failed { reason: reason.clone() }, error: cooling_down(reason) }
    }

    fn slowed_down(wait: Duration, errcode: Option<i64>) -> Self {
        Self { ending: Refreshed::Back, error: CallError::NoToken(TokenFault::SlowedDown { wait, errcode }) }
    }

    fn lost(reason: String) -> Self {
        Self { ending: Refreshed::Lost { reason: reason.clone() }, error: CallError::NoToken(TokenFault::Lost(reason)) }
    }

    /// The platform's own token failed: no merchant can be served.
    fn platform(errcode: Option<i64>, reason: String) -> Self {
        Self::of_platform(errcode, reason, true)
    }

    /// One merchant's refresh was answered with a fault of the platform; it may be alone with it.
    fn perhaps_platform(errcode: Option<i64>, reason: String) -> Self {
        Self::of_platform(errcode, reason, false)
    }

    fn of_platform(errcode: Option<i64>, reason: String, certain: bool) -> Self {
        let ending = Refreshed::Failed { reason: reason.clone() };
        Self { ending, error: CallError::NoToken(TokenFault::Platform { errcode, reason, certain }) }
    }
}

impl Tokens {
    pub(super) async fn refresh_component(
        &self,
        platform: &Platform,
        seen: Option<i64>,
    ) -> Result<StoredToken, CallError> {
        let endpoint = Endpoint::ApiComponentToken;
        let ticket = self.0.vault.ticket(platform.id).await.map_err(|error| vault_silent(&error))?;
        let Some((ticket, _age)) = ticket else {
            return Err(Failure::platform(None, NO_TICKET.to_owned()).error);
        };
        let permit = self.permit(platform, endpoint).await?;
        let held = match self.claim(platform, &Holder::Component, seen).await? {
            Ok(held) => held,
            Err(newer) => return Ok(newer),
        };
        let result = async {
            let within = self.ready(platform, endpoint, permit, &held).await?;
            let token = self.0.wechat.component_token(platform, &ticket, within).await;
            token.map_err(|error| self.component_failure(platform, &error))
        };
        let ending = result.await.map(|token| {
            self.0.component_lifetime_secs.store(token.expires_in.as_secs(), Ordering::Relaxed);
            Refreshed::Token { access_token: token.access_token, expires_in: token.expires_in, refresh_token: None }
        });
        self.end(platform, &Holder::Component, held.lease.fence, ending).await
    }

    pub(super) async fn refresh_merchant(
        &self,
        platform: &Platform,
        appid: &str,
        seen: Option<i64>,
    ) -> Result<StoredToken, CallError> {
        // Everything slow comes before the claim: a lease runs only while its call does.
        self.component(platform, None).await?;
        let permit = self.permit(platform, Endpoint::ApiAuthorizerToken).await?;
        // Looked at again after the wait: a token that was replaced meanwhile would cost every waiter a refused call.
        let component = self.component(platform, None).await?;
        let holder = Holder::Merchant(appid.to_owned());
        let held = match self.claim(platform, &holder, seen).await? {
            Ok(held) => held,
            Err(newer) => return Ok(newer),
        };
        let ending = self.exchange(platform, appid, &held, component, permit).await.map(|token| {
            self.0.merchant_lifetime_secs.store(token.expires_in.as_secs(), Ordering::Relaxed);
            Refreshed::Token {
                access_token: token.access_token,
                expires_in: token.expires_in,
                refresh_token: token.refresh_token,
            }
        });
        self.end(platform, &holder, held.lease.fence, ending).await
    }

    /// Exchanges the refresh token; a component token that is refused is refreshed and the call repeated once.
    async fn exchange(
        &self,
        platform: &Platform,
        appid: &str,
        held: &Held,
        component: StoredToken,
        permit: Permit,
    ) -> Result<AuthorizerToken, Failure> {
        let endpoint = Endpoint::ApiAuthorizerToken;
        let Some(refresh_token) = held.lease.refresh_token.as_ref() else {
            return Err(Failure::lost("no refresh token is stored".to_owned()));
        };
        let wechat = &self.0.wechat;
        let within = self.ready(platform, endpoint, permit, held).await?;
        let first = wechat.authorizer_token(platform, &component.access_token, appid, refresh_token, within).await;
        let refusal = match first {
            Err(error) if component_refused(&error) => error,
            other => return other.map_err(|error| Self::merchant_failure(&error)),
        };
        tracing::info!(merchant.id = appid, error = %refusal, "the component token was refused");
        let component = self.component(platform, Some(component.version)).await.map_err(|error| Failure {
            ending: Refreshed::Failed { reason: "no component token".to_owned() },
            error,
        })?;
        let permit =
            self.permit(platform, endpoint).await.map_err(|error| Failure { ending: Refreshed::Back, error })?;
        let within = self.ready(platform, endpoint, permit, held).await?;
        let second = wechat.authorizer_token(platform, &component.access_token, appid, refresh_token, within).await;
        second.map_err(|error| match component_refused(&error) {
            true => Failure::platform(error.errcode(), STOLEN.to_owned()),
            false => Self::merchant_failure(&error),
        })
    }

    /// The lease, or the newer token that makes it needless.
    async fn claim(
        &self,
        platform: &Platform,
        holder: &Holder,
        seen: Option<i64>,
    ) -> Result<Result<Held, StoredToken>, CallError> {
        let duration = self.0.wechat.timeouts().total + LEASE_SLACK;
        // Counted from before the statement, so that ours ends first.
        let ends_at = Instant::now() + duration;
        let claim = self.0.vault.claim_refresh(platform.id, holder, seen, duration).await;
        let fault = match claim.map_err(|error| vault_silent(&error))? {
            RefreshClaim::Granted(lease) => return Ok(Ok(Held { lease, ends_at })),
            RefreshClaim::Newer(token) => return Ok(Err(token)),
            RefreshClaim::Elsewhere => TokenFault::BeingRefreshed,
            RefreshClaim::CoolingDown { reason, wait } => TokenFault::CoolingDown { reason, wait },
            RefreshClaim::Lost(reason) => TokenFault::Lost(reason),
            RefreshClaim::Withdrawn => TokenFault::Withdrawn,
        };
        Err(CallError::NoToken(match (holder, fault) {
            (Holder::Component, TokenFault::Lost(reason)) => {
                TokenFault::Platform { errcode: None, reason, certain: true }
            }
            (Holder::Component, TokenFault::Withdrawn) => TokenFault::Platform {
                errcode: None,
                reason: "the platform has no row in the database: start the program again".to_owned(),
                certain: true,
            },
            (_, fault) => fault,
        }))
    }

    /// Gives the lease back, and answers with what is stored.
    async fn end(
        &self,
        platform: &Platform,
        holder: &Holder,
        fence: i64,
        result: Result<Refreshed, Failure>,
    ) -> Result<StoredToken, CallError> {
        let (ending, error) = match result {
            Ok(token) => (token, None),
            Err(failure) => (failure.ending, Some(failure.error)),
        };
        let vault = &self.0.vault;
        let mut ended = vault.end_refresh(platform.id, holder, fence, ending.clone()).await;
        if ended.is_err() {
            // A token that was bought is worth a second statement.
            ended = vault.end_refresh(platform.id, holder, fence, ending).await;
        }
        match (error, ended) {
            (Some(error), Ok(_)) => Err(error),
            (Some(error), Err(port)) => {
                tracing::warn!(error = %port, "the end of a refresh was not recorded; its lease runs out");
                Err(error)
            }
            (None, Ok(Some(token))) => Ok(token),
            // Taken over meanwhile: whatever is stored now is the newer truth.
            (None, Ok(None)) => match vault.token(platform.id, holder).await.map_err(|error| vault_silent(&error))? {
                Some(token) if !token.good_for.is_zero() => Ok(token),
                _ => Err(CallError::NoToken(TokenFault::BeingRefreshed)),
            },
            (None, Err(port)) => Err(vault_silent(&port)),
        }
    }

    /// A slot of a token endpoint; closed means that nobody refreshes for now.
    async fn permit(&self, platform: &Platform, endpoint: Endpoint) -> Result<Permit, CallError> {
        let closed = |Closed { wait }| CallError::NoToken(TokenFault::SlowedDown { wait, errcode: None });
        self.0.pace.permit(platform.id, endpoint).await.map_err(closed)
    }

    /// How long the call may take, after another permit when the first went bad over the claim.
    async fn ready(
        &self,
        platform: &Platform,
        endpoint: Endpoint,
        permit: Permit,
        held: &Held,
    ) -> Result<Duration, Failure> {
        let out_of_room = || Failure::slowed_down(ROOM_MIN, None);
        if !permit.still_good() {
            let patience = held.room().ok_or_else(out_of_room)?;
            let permit = tokio::time::timeout(patience, self.permit(platform, endpoint)).await;
            let _used =
                permit.map_err(|_| out_of_room())?.map_err(|error| Failure { ending: Refreshed::Back, error })?;
        }
        held.room().ok_or_else(out_of_room)
    }

    fn component_failure(&self, platform: &Platform, error: &CallError) -> Failure {
        let endpoint = Endpoint::ApiComponentToken;
        match error.class() {
            Class::Transient | Class::Unknown => Failure::passing(error.to_string()),
            Class::QuotaMinute => self.slow_down(platform, endpoint, error),
            // Without a component token no merchant can be served, whatever the code says.
            Class::Ok
            | Class::Token
            | Class::Permission
            | Class::Withdrawn
            | Class::QuotaDay
            | Class::QuotaMonth
            | Class::Pending
            | Class::Already
            | Class::Human
            | Class::NotApplicable
            | Class::Bug
            | Class::Halt => Failure::platform(error.errcode(), remedy(endpoint, error)),
        }
    }

    fn merchant_failure(error: &CallError) -> Failure {
        let endpoint = Endpoint::ApiAuthorizerToken;
        match error.class() {
            // 61023 and 42002: it can be recovered through the authorizer list, once for a whole batch, elsewhere.
            Class::Token => Failure::lost(error.to_string()),
            Class::Withdrawn => {
                Failure { ending: Refreshed::Withdrawn, error: CallError::NoToken(TokenFault::Withdrawn) }
            }
            Class::Halt => Failure::perhaps_platform(error.errcode(), remedy(endpoint, error)),
            // One merchant's answer closes nothing: whoever hears of several decides.
            Class::QuotaMinute => Failure::slowed_down(SLOW_DOWN, error.errcode()),
            Class::Ok
            | Class::Transient
            | Class::Permission
            | Class::QuotaDay
            | Class::QuotaMonth
            | Class::Pending
            | Class::Already
            | Class::Human
            | Class::NotApplicable
            | Class::Bug
            | Class::Unknown => Failure::passing(error.to_string()),
        }
    }

    fn slow_down(&self, platform: &Platform, endpoint: Endpoint, error: &CallError) -> Failure {
        self.0.pace.close(platform.id, endpoint, SLOW_DOWN);
        Failure::slowed_down(SLOW_DOWN, error.errcode())
    }
}

/// Whether the component token of a merchant's refresh was refused, and not the refresh token.
fn component_refused(error: &CallError) -> bool {
    matches!(error, CallError::Refused { errcode: 40001 | 40014 | 42001 | 42006, .. })
}

/// The refusal and the sentence of the runbook that says what to do.
fn remedy(endpoint: Endpoint, error: &CallError) -> String {
    let row = error.errcode().and_then(|code| errcode::lookup(endpoint, code));
    match row {
        Some(row) => format!("{}: {error}. {}", endpoint.name(), row.remedy_en),
        None => format!("{}: {error}", endpoint.name()),
    }
}
