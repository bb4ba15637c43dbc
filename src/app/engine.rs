//! A platform made ready: its wire, its limits, and the engine that patrols it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{
    App, AppError,
    platforms::{self, Member},
};
use crate::{
    config::{CALL_DEADLINE, Cap, Limits, NewMerchants},
    domain::{CheckName, Endpoint, Limit, link::Patience, message::MessagePolicy},
    patrol::{Patrol, PatrolSettings},
    store::{merchant_list::MerchantList, slices::SharedLimits},
    wechat::{PaceConfig, Platform, Timeouts, Wechat, Wire},
};

/// A platform that can be called.
pub struct Ready {
    /// The platform.
    pub platform: Platform,
    /// The wire: its own tokens and pace, over the HTTP client that all platforms share.
    pub wire: Wire,
    /// What limits it.
    pub limits: Limits,
    /// The operator's own list of its merchants; `None`: WeChat's.
    pub source: Option<MerchantList>,
    /// Ends what is done for it, in order. The app's own signal ends it too.
    pub stop: CancellationToken,
}

impl Ready {
    /// The limits that are enforced, or those that are only counted.
    fn platform_limits(&self, shadow: bool) -> HashMap<Endpoint, Limit> {
        let limit = |endpoint: &Endpoint| Some((*endpoint, self.limits.platform(*endpoint).limit()?));
        Endpoint::ALL.iter().filter_map(limit).filter(|(_, limit)| limit.shadow() == shadow).collect()
    }

    fn merchant_limits(&self) -> HashMap<Endpoint, Limit> {
        let limit = |endpoint: &Endpoint| Some((*endpoint, self.limits.merchant(*endpoint).limit()?));
        Endpoint::ALL.iter().filter_map(limit).collect()
    }
}

impl App {
    /// The one platform that a command is for, with its wire.
    ///
    /// # Errors
    /// No platform is known, several are and none is named, or it can not be called.
    pub async fn ready(&self) -> Result<Ready, AppError> {
        let members = self.members().await?;
        match members.as_slice() {
            [member] => self.ready_for(member).await,
            several => Err(platforms::which_one(&several.iter().collect::<Vec<_>>())),
        }
    }

    /// A platform with its wire.
    ///
    /// # Errors
    /// One sentence that names what it lacks: its secret, or a ticket to get a token with.
    pub async fn ready_for(&self, member: &Member) -> Result<Ready, AppError> {
        self.made_ready(member, false).await
    }

    /// The same; who receives tickets may wait for the first.
    pub(super) async fn made_ready(&self, member: &Member, may_wait: bool) -> Result<Ready, AppError> {
        let id = member.row.id;
        let limits = member.limits(&self.config.limits)?;
        let external = self.external_tokens(id, member.appid()).await?;
        let source = self.merchant_source(member.appid()).await?;
        self.store.remember_keeper(id, external.is_some()).await?;
        let secret = match external {
            Some(_) => None,
            None => Some(self.secret_of(member)?),
        };
        if external.is_none() {
            self.begin_with_a_ticket(member, may_wait).await?;
        }
        let platform = Platform { id, component_appid: member.appid().to_owned(), secret };
        let pace: PaceConfig =
            Endpoint::ALL.iter().map(|endpoint| (*endpoint, limits.platform(*endpoint).limit())).collect();
        let shared = pace.iter().filter_map(|(endpoint, limit)| Some((*endpoint, (*limit)?))).collect();
        let shared = Arc::new(SharedLimits::new(self.store.clone(), shared));
        let wire = match external {
            Some(source) => Wire::with_external_tokens(self.wechat()?, source, shared, pace),
            None => Wire::new(self.wechat()?, Arc::new(self.store.clone()), shared, pace),
        };
        Ok(Ready { platform, wire, limits, source, stop: self.stop.child_token() })
    }

    fn secret_of(&self, member: &Member) -> Result<SecretString, AppError> {
        let named = self.config.platform.as_ref().filter(|_| member.in_environment);
        match named.and_then(|settings| settings.secret.clone()) {
            Some(secret) => Ok(secret),
            None => self.store.platform_secret(&member.row)?.ok_or_else(|| AppError::Input(member.no_secret())),
        }
    }

    /// The HTTP client, one for all platforms.
    pub(super) fn wechat(&self) -> Result<Wechat, AppError> {
        if let Some(wechat) = self.wechat.get() {
            return Ok(wechat.clone());
        }
        let timeouts = Timeouts { total: CALL_DEADLINE, ..Timeouts::default() };
        let wechat = Wechat::new(self.config.wechat_base_url.clone(), timeouts)
            .map_err(|error| AppError::Input(error.to_string()))?;
        Ok(self.wechat.get_or_init(|| wechat).clone())
    }

    /// What limits the messages of a check; `None`: it messages nobody.
    pub(super) fn policy(&self, check: CheckName) -> Option<MessagePolicy> {
        let quiet_hours = self.config.quiet_hours.map(|hours| (hours.from, hours.until));
        match check {
            CheckName::Ask => Some(MessagePolicy {
                cooldown: self.config.ask_cooldown,
                messages_max: cap(self.config.asks_max),
                per_day: cap(self.config.asks_per_day),
                quiet_hours,
            }),
            CheckName::Invite => {
                Some(MessagePolicy { cooldown: INVITE_COOLDOWN, messages_max: None, per_day: None, quiet_hours })
            }
            CheckName::Phone | CheckName::Callback | CheckName::Links => None,
        }
    }

    /// The engine for a platform. It ends with the app, with what is ready, or by itself.
    #[must_use]
    pub fn patrol(&self, ready: &Ready, messages: bool) -> Patrol {
        let config = &self.config;
        let settings = PatrolSettings {
            calls_max: config.calls_max,
            call_deadline: CALL_DEADLINE,
            limits: ready.platform_limits(false),
            shadows: ready.platform_limits(true),
            merchant_limits: ready.merchant_limits(),
            ask_policy: self.policy(CheckName::Ask).unwrap_or_else(silence),
            invite_policy: self.policy(CheckName::Invite).unwrap_or_else(silence),
            patience: Patience(config.link_patience),
            hold_new: config.new_merchants == NewMerchants::Held,
            stuck_after: STUCK_AFTER,
            messages,
            learns: ready.limits.learn(),
            source: ready.source.clone(),
        };
        Patrol::new(self.store.clone(), ready.wire.clone(), ready.platform.clone(), settings, ready.stop.child_token())
    }
}

/// An unattended engine that could work and does not for this long ends itself.
const STUCK_AFTER: Duration = Duration::from_secs(5 * 60);

/// A pair is not invited again within this, even by an operator's word.
const INVITE_COOLDOWN: Duration = Duration::from_secs(24 * 3600);

/// A policy that sends nothing.
fn silence() -> MessagePolicy {
    MessagePolicy { cooldown: INVITE_COOLDOWN, messages_max: Some(0), per_day: Some(0), quiet_hours: None }
}

fn cap(cap: Cap) -> Option<u32> {
    match cap {
        Cap::Unlimited => None,
        Cap::AtMost(count) => Some(count),
    }
}
