//! One refresh from the claim to its end: the lease is taken when everything else is at hand, covers the calls under
//! it, and is always given back with what came of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::super::platform_calls::AuthorizerToken;
use super::super::{Closed, Permit, Platform};
use super::own::{Own, Wish, cooling_down, vault_silent};
use super::{Got, component_refused, no_token};
use crate::domain::ports::{Ended, Holder, NewToken, RefreshClaim, RefreshLease, Refreshed, StoredToken};
use crate::domain::{CallError, Class, Endpoint, TokenFault, errcode};

/// What the lease adds to the call's deadline.
const LEASE_SLACK: Duration = Duration::from_secs(5);
/// A call under a lease that has less than this left is not begun.
const ROOM_MIN: Duration = Duration::from_secs(1);
/// How long the endpoint is closed in this process after a limit answer.
const SLOW_DOWN: Duration = Duration::from_secs(60);

/// How often it is looked whether another process has a new component token.
const LOOK: Duration = Duration::from_millis(200);
/// How long another process's refresh of the component token is waited for: all merchants wait for it as well.
const PATIENCE: Duration = Duration::from_secs(3);
/// What WeChat refused for a reason of the merchant's own is not asked again before this.
const LASTING: Duration = Duration::from_secs(3600);

const TOO_SOON: &str = "WeChat refused the platform's own token although another was bought a moment ago, which is done at most \
                        every 30 seconds";
const NO_TICKET: &str = "no component_verify_ticket is stored: run `wxpatrol ticket -` or set WXPATROL_VERIFY_TICKET";

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
        Self { ending: failed(reason.clone(), None, Duration::ZERO), error: cooling_down(reason) }
    }

    /// WeChat meant it, and all checks of the merchant hear the same until it is worth another try.
    fn refused(errcode: i64, class: Class, reason: String) -> Self {
        let lasting = class != Class::Unknown;
        let cool_min = if lasting { LASTING } else { Duration::ZERO };
        Self {
            ending: failed(reason.clone(), lasting.then_some(errcode), cool_min),
            error: no_token(TokenFault::Refused { errcode, class, reason }),
        }
    }

    /// Nothing is booked against the holder.
    fn back(error: CallError) -> Self {
        Self { ending: Refreshed::Back, error }
    }

    fn slowed_down(wait: Duration, errcode: Option<i64>) -> Self {
        Self::back(no_token(TokenFault::SlowedDown { wait, errcode }))
    }

    fn lost(reason: String) -> Self {
        Self { ending: Refreshed::Lost { reason: reason.clone() }, error: no_token(TokenFault::Recovering(reason)) }
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
        let ending = failed(reason.clone(), None, Duration::ZERO);
        Self { ending, error: no_token(TokenFault::Platform { errcode, reason, certain }) }
    }
}

fn failed(reason: String, errcode: Option<i64>, cool_min: Duration) -> Refreshed {
    Refreshed::Failed { reason, errcode, cool_min }
}

impl Own {
    pub(super) async fn refresh_component(&self, platform: &Platform, wish: Wish) -> Result<Got, CallError> {
        let endpoint = Endpoint::ApiComponentToken;
        let ticket = self.0.vault.ticket(platform.id).await.map_err(|error| vault_silent(&error))?;
        let Some((ticket, _age)) = ticket else {
            return Err(Failure::platform(None, NO_TICKET.to_owned()).error);
        };
        // The limit is slow. Whoever was before us has bought for all: no wait then, and no call.
        let permit = tokio::select! {
            biased;
            permit = self.permit(platform, endpoint) => permit?,
            token = self.newer_component(platform, wish.seen) => return Ok(Got::found(token)),
        };
        let held = match self.claim(platform, &Holder::Component, wish).await {
            Ok(Ok(held)) => held,
            Ok(Err(newer)) => return Ok(Got::found(newer)),
            Err(CallError::NoToken(TokenFault::BeingRefreshed)) if wish.urgent => {
                let newer = tokio::time::timeout(PATIENCE, self.newer_component(platform, wish.seen)).await;
                return newer.map(Got::found).map_err(|_| no_token(TokenFault::BeingRefreshed));
            }
            Err(error) => return Err(error),
        };
        let result = async {
            let within = self.ready(platform, endpoint, permit, &held).await?;
            let token = self.0.wechat.component_token(platform, &ticket, within).await;
            token.map_err(|error| self.component_failure(platform, &error))
        };
        let ending = result.await.map(|token| {
            self.0.component_lifetime_secs.store(token.expires_in.as_secs(), Ordering::Relaxed);
            Refreshed::Token(NewToken {
                access_token: token.access_token,
                expires_in: token.expires_in,
                refresh_token: None,
                cause: wish.cause,
            })
        });
        self.end(platform, &Holder::Component, &held.lease, ending).await
    }

    /// Waits until a component token is stored that is another than the one that was seen.
    async fn newer_component(&self, platform: &Platform, seen: Option<i64>) -> StoredToken {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Ok(Some(token)) = self.stored(platform, &Holder::Component).await
                && Some(token.version) != seen
                && !token.good_for.is_zero()
            {
                return token;
            }
        }
    }

    pub(super) async fn refresh_merchant(
        &self,
        platform: &Platform,
        appid: &str,
        wish: Wish,
    ) -> Result<Got, CallError> {
        // Everything slow comes before the claim: a lease runs only while its call does.
        self.component(platform).await.map_err(no_component)?;
        let permit = self.permit(platform, Endpoint::ApiAuthorizerToken).await?;
        // Looked at again after the wait: a token that was replaced meanwhile would cost every waiter a refused call.
        let component = self.component(platform).await.map_err(no_component)?;
        let holder = Holder::Merchant(appid.to_owned());
        let held = match self.claim(platform, &holder, wish).await? {
            Ok(held) => held,
            Err(newer) => return Ok(Got::found(newer)),
        };
        let ending = self.exchange(platform, appid, &held, component, permit).await.map(|token| {
            self.0.merchant_lifetime_secs.store(token.expires_in.as_secs(), Ordering::Relaxed);
            Refreshed::Token(NewToken {
                access_token: token.access_token,
                expires_in: token.expires_in,
                refresh_token: token.refresh_token,
                cause: wish.cause,
            })
        });
        self.end(platform, &holder, &held.lease, ending).await
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
        let alive = self.unless_dead(platform, component, held.lease.component_refused).await;
        let component = alive.map_err(|error| Failure::back(no_component(error)))?;
        let wechat = &self.0.wechat;
        let within = self.ready(platform, endpoint, permit, held).await?;
        let first = wechat.authorizer_token(platform, &component.access_token, appid, refresh_token, within).await;
        let refusal = match first {
            Err(error) if component_refused(&error) => error,
            other => {
                if other.as_ref().is_ok() || matches!(other, Err(CallError::Refused { .. })) {
                    self.0.refusals.works(platform.id, component.version);
                }
                return other.map_err(|error| Self::merchant_failure(&error));
            }
        };
        tracing::info!(merchant.id = appid, error = %refusal, "the component token was refused");
        // Nothing is the merchant's fault while there is no component token.
        let component = self.component_after_refusal(platform, &component, Some(appid)).await;
        let component = component.map_err(|error| Failure::back(no_component(error)))?;
        let Some(component) = component else { return Err(Failure::passing(remedy(endpoint, &refusal))) };
        let permit = self.permit(platform, endpoint).await.map_err(Failure::back)?;
        let within = self.ready(platform, endpoint, permit, held).await?;
        let token = &component.token.access_token;
        let second = wechat.authorizer_token(platform, token, appid, refresh_token, within).await;
        match second {
            Err(error) if component_refused(&error) => {
                let again = self.component_refused_again(platform, appid, &component).await;
                again.map_err(|error| Failure::back(no_component(error)))?;
                Err(Failure::passing(remedy(endpoint, &error)))
            }
            other => other.map_err(|error| Self::merchant_failure(&error)),
        }
    }

    /// The lease, or the newer token that makes it needless.
    async fn claim(
        &self,
        platform: &Platform,
        holder: &Holder,
        wish: Wish,
    ) -> Result<Result<Held, StoredToken>, CallError> {
        let duration = self.0.wechat.timeouts().total + LEASE_SLACK;
        // Counted from before the statement, so that ours ends first.
        let ends_at = Instant::now() + duration;
        let claim = self.0.vault.claim_refresh(platform.id, holder, wish.seen, wish.cause, duration).await;
        let fault = match claim.map_err(|error| vault_silent(&error))? {
            RefreshClaim::Granted(lease) => return Ok(Ok(Held { lease, ends_at })),
            RefreshClaim::Newer(token) => return Ok(Err(token)),
            RefreshClaim::Elsewhere => TokenFault::BeingRefreshed,
            RefreshClaim::CoolingDown { reason, errcode, wait } => match (holder, errcode) {
                (Holder::Merchant(_), Some(errcode)) => {
                    let class = errcode::classify(Endpoint::ApiAuthorizerToken, errcode);
                    TokenFault::Refused { errcode, class, reason }
                }
                _ => TokenFault::CoolingDown { reason, wait },
            },
            RefreshClaim::TooSoon { wait } => TokenFault::CoolingDown { reason: TOO_SOON.to_owned(), wait },
            RefreshClaim::Recovering(reason) => TokenFault::Recovering(reason),
            RefreshClaim::Lost(reason) => TokenFault::Lost(reason),
            RefreshClaim::Withdrawn => TokenFault::Withdrawn,
        };
        Err(no_token(match (holder, fault) {
            (Holder::Component, TokenFault::Recovering(reason) | TokenFault::Lost(reason)) => {
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
        lease: &RefreshLease,
        result: Result<Refreshed, Failure>,
    ) -> Result<Got, CallError> {
        let (ending, error) = match result {
            Ok(token) => (token, None),
            Err(failure) => (failure.ending, Some(failure.error)),
        };
        let vault = &self.0.vault;
        let mut ended = vault.end_refresh(platform.id, holder, lease, ending.clone()).await;
        if ended.is_err() {
            // A token that was bought is worth a second statement.
            ended = vault.end_refresh(platform.id, holder, lease, ending).await;
        }
        match (error, ended) {
            // The next try is made with the refresh token that came meanwhile.
            (Some(_), Ok(Ended::Replaced)) => Err(no_token(TokenFault::BeingRefreshed)),
            (Some(error), Ok(_)) => Err(error),
            (Some(error), Err(port)) => {
                tracing::warn!(error = %port, "the end of a refresh was not recorded; its lease runs out");
                Err(error)
            }
            (None, Ok(Ended::Stored(token))) => Ok(Got { token, bought: true }),
            // Taken over meanwhile: whatever is stored now is the newer truth.
            (None, Ok(Ended::TakenOver | Ended::Booked | Ended::Replaced)) => {
                match self.stored(platform, holder).await? {
                    Some(token) if !token.good_for.is_zero() => Ok(Got::found(token)),
                    _ => Err(no_token(TokenFault::BeingRefreshed)),
                }
            }
            (None, Err(port)) => Err(vault_silent(&port)),
        }
    }

    /// A slot of an endpoint that is called with the platform's own token; closed means that nobody refreshes for now.
    pub(super) async fn permit(&self, platform: &Platform, endpoint: Endpoint) -> Result<Permit, CallError> {
        let closed = |Closed { wait }| no_token(TokenFault::SlowedDown { wait, errcode: None });
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
            let _used = permit.map_err(|_| out_of_room())?.map_err(Failure::back)?;
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
            Class::Withdrawn => Failure { ending: Refreshed::Withdrawn, error: no_token(TokenFault::Withdrawn) },
            Class::Halt => Failure::perhaps_platform(error.errcode(), remedy(endpoint, error)),
            // One merchant's answer closes nothing: whoever hears of several decides.
            Class::QuotaMinute => Failure::slowed_down(SLOW_DOWN, error.errcode()),
            Class::Transient | Class::Ok | Class::Pending | Class::Already => Failure::passing(error.to_string()),
            class @ (Class::Permission
            | Class::QuotaDay
            | Class::QuotaMonth
            | Class::Human
            | Class::NotApplicable
            | Class::Bug
            | Class::Unknown) => match error.errcode() {
                Some(errcode) => Failure::refused(errcode, class, remedy(endpoint, error)),
                None => Failure::passing(error.to_string()),
            },
        }
    }

    fn slow_down(&self, platform: &Platform, endpoint: Endpoint, error: &CallError) -> Failure {
        self.0.pace.close(platform.id, endpoint, SLOW_DOWN);
        Failure::slowed_down(SLOW_DOWN, error.errcode())
    }
}

/// What merchants hear when a try for the platform's own token cools down: it is no failure of theirs.
fn no_component(error: CallError) -> CallError {
    match error {
        CallError::NoToken(TokenFault::CoolingDown { reason, wait }) => {
            no_token(TokenFault::NoComponent { reason, wait, refused: false })
        }
        error => error,
    }
}

/// The refusal and the sentence of the runbook that says what to do.
fn remedy(endpoint: Endpoint, error: &CallError) -> String {
    let row = error.errcode().and_then(|code| errcode::lookup(endpoint, code));
    match row {
        Some(row) => format!("{}: {error}. {}", endpoint.name(), row.remedy_en),
        None => format!("{}: {error}", endpoint.name()),
    }
}
