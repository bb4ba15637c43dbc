//! Who keeps the tokens: wxpatrol itself, with a ticket, or another system that is asked. Never both.

use std::sync::Arc;

use super::{App, AppError, Ready};
use crate::{
    config::TokenSourceSettings,
    domain::{CallError, PlatformId, TokenFault, ports::TokenSource},
    store::foreign::OwnTokens,
    wechat::TokenService,
};

impl App {
    /// The other system, checked as far as it can be without asking it; `None`: wxpatrol keeps the tokens.
    pub(super) async fn external_tokens(
        &self,
        platform: PlatformId,
        component_appid: &str,
    ) -> Result<Option<Arc<dyn TokenSource>>, AppError> {
        let Some(settings) = &self.config.token_source else { return Ok(None) };
        let own = self.store.own_tokens(platform).await?;
        if own != OwnTokens::default() {
            return Err(AppError::Input(both(settings, own, component_appid)));
        }
        Ok(Some(match settings {
            TokenSourceSettings::Url(service) => {
                let service = TokenService::new(service.clone());
                Arc::new(service.map_err(|error| AppError::Input(format!("{}: {error}", settings.variable())))?)
            }
            TokenSourceSettings::Sql(queries) => {
                let queries = self.store.token_queries(queries.clone());
                queries.check().await.map_err(AppError::Input)?;
                Arc::new(queries)
            }
        }))
    }

    /// Whether there is a list of merchants: the operator's own, or WeChat's, which takes the platform's own token.
    pub(super) fn can_sync(&self) -> bool {
        self.config.merchant_source.is_some() || self.can_ask()
    }

    /// Whether WeChat can be asked about merchants, which takes the platform's own token.
    pub(super) fn can_ask(&self) -> bool {
        self.config.token_source.as_ref().is_none_or(TokenSourceSettings::knows_the_platform)
    }

    /// Refuses to read merchants when nobody gives a list of them.
    pub(super) fn refuse_sync(&self) -> Result<(), AppError> {
        if self.can_sync() { Ok(()) } else { Err(AppError::Input(NO_SYNC.to_owned())) }
    }

    /// Refuses to take what only wxpatrol's own tokens need, such as a ticket, while another system keeps the tokens.
    pub(super) fn refuse_own(&self, what: &str) -> Result<(), AppError> {
        match &self.config.token_source {
            None => Ok(()),
            Some(settings) => Err(AppError::Input(format!(
                "{what}, but another system keeps the tokens ({} is set), and wxpatrol refreshes nothing; nothing was \
                 stored",
                settings.variable()
            ))),
        }
    }

    /// Asks the other system for one token, so that what is wrong with it is said at the start. Nothing waits for that.
    pub(super) fn greet_token_source(&self, ready: &Ready) {
        if !ready.wire.tokens().are_external() {
            return;
        }
        if !self.can_sync() {
            tracing::info!("{NO_SYNC}");
        }
        let (store, wire, platform) = (self.store.clone(), ready.wire.clone(), ready.platform.clone());
        tokio::spawn(async move {
            let Ok(Some(appid)) = store.some_merchant(platform.id).await else { return };
            match wire.tokens().fresh(&platform, &appid, None).await {
                Ok(_) => tracing::info!("the external token source answers"),
                // It says so itself.
                Err(CallError::NoToken(TokenFault::SourceSilent(_) | TokenFault::SourceResting { .. })) => {}
                Err(error) => tracing::warn!(merchant.id = appid, %error, "the external token source gave no token"),
            }
        });
    }
}

const NO_SYNC: &str = "merchants can not be read from WeChat: that takes the platform's own token, which another system \
                       keeps; set WXPATROL_COMPONENT_TOKEN_URL beside WXPATROL_TOKEN_URL (or \
                       WXPATROL_COMPONENT_TOKEN_SQL beside WXPATROL_TOKEN_SQL), name your own list in \
                       WXPATROL_MERCHANT_SQL, or bring them in with `wxpatrol import`";

fn both(settings: &TokenSourceSettings, own: OwnTokens, component_appid: &str) -> String {
    let mut held = Vec::new();
    if own.ticket {
        held.push("a verify ticket".to_owned());
    }
    if own.merchants > 0 {
        held.push(format!("tokens of {} merchants", own.merchants));
    }
    format!(
        "{} says that another system keeps the tokens, but this database holds {} for wxpatrol to refresh with, and two \
         refreshers take each other's tokens away: unset {}, or erase them with `select \
         wxpatrol_data.forget_own_tokens('{component_appid}')` in psql",
        settings.variable(),
        held.join(" and "),
        settings.variable(),
    )
}
