//! Which platforms a command is for: those in the database, the one that the environment names, and `--platform`.
//!
//! What the environment says of its platform goes before what is stored of it: the secret, and the ticket to begin with.
//! Limits and schedules of a platform's own go before those of the environment, which hold for all the others.

use super::{App, AppError};
use crate::{
    config::{self, Limits},
    domain::{CheckName, PlatformId},
    store::platforms::PlatformRow,
};

/// A platform as this process knows it.
#[derive(Debug, Clone)]
pub struct Member {
    /// What is stored of it.
    pub row: PlatformRow,
    /// Whether this process's environment names it.
    pub in_environment: bool,
    /// Whether another system keeps its tokens, so that nothing needs its secret.
    pub external: bool,
}

impl Member {
    /// Its appid.
    #[must_use]
    pub fn appid(&self) -> &str {
        &self.row.component_appid
    }

    /// Whether this process has what it takes to act for it.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.in_environment || self.external || self.row.secret_stored()
    }

    /// Whether a schedule (a check, or `sync`) is on for it.
    #[must_use]
    pub fn on(&self, schedule: &str) -> bool {
        self.row.schedules.as_ref().is_none_or(|on| on.iter().any(|name| name == schedule))
    }

    /// The checks that are on for it.
    pub(super) fn checks(&self) -> Vec<CheckName> {
        CheckName::ALL.iter().copied().filter(|check| self.on(check.name())).collect()
    }

    /// Why it can not be acted for without its secret.
    pub(super) fn no_secret(&self) -> String {
        let appid = self.appid();
        format!(
            "no secret of the platform {appid} is stored: `wxpatrol platform add {appid} --secret-file FILE`, or \
             `wxpatrol platform disable {appid}` when it is needed no more"
        )
    }

    /// Its limits: its own, and the environment's where it has none.
    pub(super) fn limits(&self, environment: &Limits) -> Result<Limits, AppError> {
        let mut limits = environment.clone();
        for text in &self.row.limits {
            let (name, limit) = text.split_once('=').unwrap_or((text, ""));
            // A limit that only a newer program knows is that program's to keep.
            let Ok((endpoint, per_merchant)) = config::limit_name(name) else { continue };
            let rule = if per_merchant { config::merchant_limit } else { config::limit };
            let limit = rule(limit).map_err(|rule| {
                let appid = self.appid();
                AppError::Input(format!(
                    "the limit {text:?} of the platform {appid} {rule}; set it again with `wxpatrol platform add {appid} --limit {name}=...`"
                ))
            })?;
            limits = limits.with(endpoint, per_merchant, limit);
        }
        Ok(limits)
    }
}

impl App {
    /// The same app for one platform, as `--platform` names it; `None`: for all of them.
    #[must_use]
    pub fn of(mut self, platform: Option<String>) -> Self {
        self.named = platform;
        self
    }

    /// Every platform that is known, oldest first. The one that the environment names has a row from here on.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn known_platforms(&self) -> Result<Vec<Member>, AppError> {
        let named = match &self.config.platform {
            Some(settings) => Some(self.store.platform(&settings.component_appid).await?),
            None => None,
        };
        let rows = self.store.platforms().await?;
        let external = self.config.token_source.is_some();
        Ok(rows.into_iter().map(|row| Member { in_environment: named == Some(row.id), external, row }).collect())
    }

    /// The platforms that a command acts for: the one that `--platform` names, or every enabled one whose secret this
    /// process has. Never empty.
    ///
    /// # Errors
    /// There is none, or the named one is not known, is disabled or has no secret; Postgres did not answer.
    pub(super) async fn members(&self) -> Result<Vec<Member>, AppError> {
        let known = self.known_platforms().await?;
        if self.named.is_some() {
            let member = self.named_one(known)?;
            let appid = member.appid();
            if !member.row.enabled {
                return Err(AppError::Input(format!(
                    "the platform {appid} is disabled: `wxpatrol platform enable {appid}` first"
                )));
            }
            if !member.has_secret() {
                return Err(AppError::Input(member.no_secret()));
            }
            return Ok(vec![member]);
        }
        let none = none_of(&known);
        let members: Vec<Member> =
            known.into_iter().filter(|member| member.row.enabled && member.has_secret()).collect();
        if members.is_empty() { Err(none) } else { Ok(members) }
    }

    fn named_one(&self, known: Vec<Member>) -> Result<Member, AppError> {
        let wanted = self.named.as_deref().unwrap_or_default();
        known.into_iter().find(|member| member.appid() == wanted).ok_or_else(|| {
            AppError::Input(format!(
                "the platform {wanted} is not known: `wxpatrol platform list` shows those that are, `wxpatrol platform add \
                 {wanted}` adds one"
            ))
        })
    }

    /// The one platform that a command is for, by its row: the one that `--platform` names, or the only one there is.
    ///
    /// # Errors
    /// No platform is known, or several are and none is named; Postgres did not answer.
    pub async fn platform_id(&self) -> Result<PlatformId, AppError> {
        self.platform_of(&[]).await
    }

    /// The same for a command about merchants: of several platforms the only one that knows all of them will do.
    pub(super) async fn platform_of(&self, appids: &[String]) -> Result<PlatformId, AppError> {
        let known = self.known_platforms().await?;
        if self.named.is_some() {
            // A platform that is disabled, or whose secret another process has, may be spoken about.
            return Ok(self.named_one(known)?.row.id);
        }
        let none = none_of(&known);
        let members: Vec<&Member> = known.iter().filter(|member| member.row.enabled && member.has_secret()).collect();
        match members.as_slice() {
            [] => Err(none),
            [member] => Ok(member.row.id),
            several => {
                if !appids.is_empty()
                    && let [only] = self.store.platforms_knowing(appids).await?.as_slice()
                    && several.iter().any(|member| member.row.id == *only)
                {
                    return Ok(*only);
                }
                Err(which_one(several))
            }
        }
    }

    /// The appid that `--platform` names, when such a platform is known; `None`: nobody named one.
    pub(super) async fn named_platform(&self) -> Result<Option<String>, AppError> {
        if self.named.is_none() {
            return Ok(None);
        }
        Ok(Some(self.named_one(self.known_platforms().await?)?.row.component_appid))
    }
}

/// Several are possible.
pub(super) fn which_one(members: &[&Member]) -> AppError {
    let appids: Vec<&str> = members.iter().map(|member| member.appid()).collect();
    AppError::Input(format!("say with --platform which platform is meant; {} are known", appids.join(", ")))
}

fn none_of(known: &[Member]) -> AppError {
    let disabled = known.iter().find(|member| !member.row.enabled && member.has_secret());
    AppError::Input(match disabled {
        Some(member) => {
            format!("every platform is disabled: `wxpatrol platform enable {}` patrols it again", member.appid())
        }
        None => {
            "no platform is configured: set WXPATROL_COMPONENT_APPID and WXPATROL_COMPONENT_APPSECRET (or its _FILE), \
                 or add one with `wxpatrol platform add`"
                .to_owned()
        }
    })
}
