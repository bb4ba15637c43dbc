//! Why a sync ended early, and what of it is a fault of the whole platform, which opens the breaker.

use std::time::Duration;

use super::{super::halt, Sync, Synced};
use crate::{
    domain::{CallError, Class, Endpoint, TokenFault, errcode},
    store::StoreError,
};

/// Why a sync ended early.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// WeChat refused the authorizer list, or did not answer.
    #[error("WeChat did not give the authorizer list: {}", said(Endpoint::ApiGetAuthorizerList, .0))]
    List(CallError),
    /// WeChat refused what is known about merchants, for all that were asked about.
    #[error("WeChat did not tell about merchants: {}", said(Endpoint::ApiGetAuthorizerInfo, .0))]
    Info(CallError),
    /// The operator's own list can not be read, or can not be believed. Half a sentence, without any value of it.
    #[error("WXPATROL_MERCHANT_SQL: {0}; what was read is kept, and nobody counts as withdrawn")]
    Source(String),
    /// The endpoint is closed for longer than is worth a wait.
    #[error("{} is closed for {} s", .0.name(), .1.as_secs())]
    Closed(Endpoint, Duration),
    /// Postgres did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A signal came; what was read is kept.
    #[error("stopped by a signal; what was read is kept")]
    Stopped,
}

impl SyncError {
    /// Whether WeChat said so with a code of the whole platform.
    #[must_use]
    pub fn halts(&self) -> bool {
        matches!(self, Self::List(error) | Self::Info(error) if error.class() == Class::Halt)
    }

    /// Whether the whole platform is at fault for certain: a call about no merchant said so, or the platform's own token can not
    /// be had. What calls about merchants say may be one odd merchant's.
    #[must_use]
    pub fn is_the_platform_s(&self) -> bool {
        match self {
            Self::List(error) => error.class() == Class::Halt,
            Self::Info(error) => matches!(error, CallError::NoToken(TokenFault::Platform { certain: true, .. })),
            Self::Source(_) | Self::Closed(..) | Self::Store(_) | Self::Stopped => false,
        }
    }
}

/// The error with its runbook line, where it does not say itself what to do.
fn said(endpoint: Endpoint, error: &CallError) -> String {
    match error {
        // When a token may be tried for again is for whoever tries again; a sync that ended does not.
        CallError::NoToken(TokenFault::CoolingDown { reason, .. }) => {
            return format!("there is no token for the call: {reason}");
        }
        CallError::NoToken(TokenFault::SlowedDown { .. }) => {
            return "the endpoint that gives tokens says slow down".to_owned();
        }
        CallError::NoToken(_) => return error.to_string(),
        _ => {}
    }
    let row = error.errcode().and_then(|code| errcode::lookup(endpoint, code));
    row.map_or_else(|| error.to_string(), |row| format!("{error}: {}", row.remedy_en))
}

impl Sync {
    /// Opens the breaker when the whole platform is at fault, and keeps it open for longer when this sync was the `probe`.
    pub(super) async fn halt(&self, error: &SyncError, probe: bool) {
        let (SyncError::List(call) | SyncError::Info(call)) = error else { return };
        if !error.is_the_platform_s() {
            return;
        }
        let reason = halt::reason(Endpoint::ApiGetAuthorizerList, call);
        let platform = self.platform.component_appid.as_str();
        tracing::error!(platform, errcode = call.errcode(), reason, "the platform is halted");
        if let Err(error) = self.store.open_breaker(self.platform.id, call.errcode(), &reason, probe).await {
            tracing::warn!(%error, "the breaker could not be written; the next halt writes it");
        }
    }

    /// WeChat answered: a platform that was halted when the sync began works again, and every process hears of it. What halted it
    /// meanwhile is newer than that.
    pub(super) async fn answered(&self, synced: &mut Synced) -> Result<(), StoreError> {
        if std::mem::take(&mut synced.halted) && self.store.close_breaker(self.platform.id).await? {
            tracing::info!(platform = self.platform.component_appid, "the platform works again");
        }
        Ok(())
    }
}
