//! The platform's own calls: its token, the merchants' tokens, who authorized it and what is known about each.
//!
//! One function for each endpoint, a single call, no retry and no pacing.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::Platform;
use super::body::{Body, Scalar, bounded};
use super::client::Wechat;
use crate::domain::{CallError, Endpoint, TokenFault};

/// What WeChat documents for tokens; taken when an answer does not say.
const LIFETIME_SECS: i64 = 7200;
/// Longer than this no token is believed to live.
const LIFETIME_SECS_MAX: i64 = 86_400;
/// The most that one page of the authorizer list may ask for.
pub const PAGE_MAX: u32 = 500;

/// A new component token.
#[derive(Debug, Clone)]
pub struct ComponentToken {
    /// The token.
    pub access_token: SecretString,
    /// How long it is good for.
    pub expires_in: Duration,
}

/// A new authorizer token.
#[derive(Debug, Clone)]
pub struct AuthorizerToken {
    /// The token.
    pub access_token: SecretString,
    /// How long it is good for.
    pub expires_in: Duration,
    /// The refresh token to use from now on; `None`: the one used stays.
    pub refresh_token: Option<SecretString>,
}

/// One page of the merchants that authorized the platform. The order is not promised while merchants come and go.
#[derive(Debug, Clone)]
pub struct AuthorizerPage {
    /// How many there are in all, when WeChat says.
    pub total: Option<u64>,
    /// How many entries the page held, with those that have no appid: a page shorter than asked for is the last.
    pub held: usize,
    /// The entries.
    pub entries: Vec<ListedAuthorizer>,
}

/// One merchant of the list.
#[derive(Debug, Clone)]
pub struct ListedAuthorizer {
    /// Its appid.
    pub appid: String,
    /// Its refresh token; WeChat leaves it empty for some accounts.
    pub refresh_token: Option<SecretString>,
    /// When it authorized, in seconds since 1970.
    pub authorized_at_secs: Option<i64>,
}

/// The kind of a merchant's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AccountKind {
    /// A mini program.
    MiniProgram,
    /// An official account: a subscription or service account.
    OfficialAccount,
    /// A channels account, shop, shopping assistant or supplier.
    Other,
}

impl AccountKind {
    /// The stable name used in tables and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What is known about one merchant.
#[derive(Debug, Clone)]
pub struct AuthorizerInfo {
    /// What kind of account it is.
    pub kind: AccountKind,
    /// Its name.
    pub nickname: Option<String>,
    /// Its original id (`gh_...`).
    pub username: Option<String>,
    /// The legal entity behind it.
    pub principal_name: Option<String>,
    /// 1 normal, 14 cancelled, 16 banned, 18 warned, 19 frozen; `None` when WeChat does not say.
    pub account_status: Option<i64>,
    /// The permission sets it granted, sorted.
    pub permission_sets: Option<Vec<i64>>,
    /// Whether a phone is configured, for mini programs: a hint for the order of work and not an answer.
    pub phone_configured: Option<bool>,
    /// Its refresh token, when it has API rights.
    pub refresh_token: Option<SecretString>,
}

/// The answer to the wish for tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushTicket {
    /// Pushing had stopped, and starts now.
    Started,
    /// Pushing was never stopped.
    Running,
}

/// Everything that the platform's endpoints answer, in one shape.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Answered {
    errcode: Scalar,
    errmsg: Scalar,
    component_access_token: Scalar,
    authorizer_access_token: Scalar,
    authorizer_refresh_token: Scalar,
    expires_in: Scalar,
    total_count: Scalar,
    list: Value,
    authorizer_info: Value,
    pub(super) authorization_info: Value,
}

impl Body for Answered {
    fn head(&self) -> (&Scalar, &Scalar) {
        (&self.errcode, &self.errmsg)
    }

    fn any_content(&self) -> bool {
        [&self.component_access_token, &self.authorizer_access_token, &self.total_count]
            .into_iter()
            .any(|part| *part != Scalar::Absent)
            || [&self.list, &self.authorizer_info, &self.authorization_info].into_iter().any(|part| !part.is_null())
    }
}

impl Wechat {
    /// Exchanges the verify ticket for a component token, in at most `within`. WeChat counts these calls on the platform;
    /// each brings another token.
    ///
    /// # Errors
    /// The platform's secret is not known here, or why there is no usable answer.
    pub async fn component_token(
        &self,
        platform: &Platform,
        ticket: &SecretString,
        within: Duration,
    ) -> Result<ComponentToken, CallError> {
        let body = json!({
            "component_appid": platform.component_appid,
            "component_appsecret": secret_of(platform)?,
            "component_verify_ticket": ticket.expose_secret(),
        });
        let answered: Answered = self.ask(Endpoint::ApiComponentToken, None, &body, within).await?;
        let expires_in = expires_in(&answered.expires_in)?;
        let access_token = secret(answered.component_access_token)
            .ok_or_else(|| CallError::Unreadable("a success without component_access_token".to_owned()))?;
        Ok(ComponentToken { access_token, expires_in })
    }

    /// Exchanges a refresh token for an authorizer token, in at most `within`. Each call brings another token, which ends
    /// the one before within minutes.
    ///
    /// # Errors
    /// Why there is no usable answer.
    pub async fn authorizer_token(
        &self,
        platform: &Platform,
        component_token: &SecretString,
        appid: &str,
        refresh_token: &SecretString,
        within: Duration,
    ) -> Result<AuthorizerToken, CallError> {
        let body = json!({
            "component_appid": platform.component_appid,
            "authorizer_appid": appid,
            "authorizer_refresh_token": refresh_token.expose_secret(),
        });
        let endpoint = Endpoint::ApiAuthorizerToken;
        let answered: Answered = self.ask(endpoint, Some(component_token), &body, within).await?;
        let expires_in = expires_in(&answered.expires_in)?;
        let access_token = secret(answered.authorizer_access_token)
            .ok_or_else(|| CallError::Unreadable("a success without authorizer_access_token".to_owned()))?;
        Ok(AuthorizerToken { access_token, expires_in, refresh_token: secret(answered.authorizer_refresh_token) })
    }

    /// One page of the authorizer list, at most [`PAGE_MAX`] entries from `offset`. May be repeated.
    ///
    /// # Errors
    /// Why there is no usable page.
    pub async fn authorizer_list(
        &self,
        platform: &Platform,
        component_token: &SecretString,
        offset: u64,
        count: u32,
    ) -> Result<AuthorizerPage, CallError> {
        let body = json!({
            "component_appid": platform.component_appid,
            "offset": offset,
            "count": count.min(PAGE_MAX),
        });
        let within = self.timeouts().total;
        let answered: Answered = self.ask(Endpoint::ApiGetAuthorizerList, Some(component_token), &body, within).await?;
        let items = match answered.list {
            Value::Array(items) => items,
            // An empty page may leave the list out, but only when there is a count.
            Value::Null if answered.total_count.integer().is_some() => Vec::new(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                return Err(CallError::Unreadable("the authorizer list is no list".to_owned()));
            }
        };
        let entries = items.iter().filter_map(|item| {
            let field = |name: &str| Scalar::of(item.get(name));
            Some(ListedAuthorizer {
                appid: field("authorizer_appid").text()?,
                refresh_token: secret(field("refresh_token")),
                authorized_at_secs: field("auth_time").integer(),
            })
        });
        Ok(AuthorizerPage {
            total: answered.total_count.integer().and_then(|total| u64::try_from(total).ok()),
            held: items.len(),
            entries: entries.collect(),
        })
    }

    /// What is known about one merchant. May be repeated.
    ///
    /// # Errors
    /// Why there is no usable answer.
    pub async fn authorizer_info(
        &self,
        platform: &Platform,
        component_token: &SecretString,
        appid: &str,
    ) -> Result<AuthorizerInfo, CallError> {
        let body = json!({ "component_appid": platform.component_appid, "authorizer_appid": appid });
        let within = self.timeouts().total;
        let answered: Answered = self.ask(Endpoint::ApiGetAuthorizerInfo, Some(component_token), &body, within).await?;
        // An empty object says nothing, and least of all that it is an official account.
        if answered.authorizer_info.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(CallError::Unreadable("a success without authorizer_info".to_owned()));
        }
        Ok(info(&answered.authorizer_info, &answered.authorization_info))
    }

    /// Asks WeChat to push tickets again. May be repeated.
    ///
    /// # Errors
    /// The platform's secret is not known here, or why there is no usable answer.
    pub async fn start_push_ticket(&self, platform: &Platform) -> Result<PushTicket, CallError> {
        // This endpoint alone calls the secret `component_secret`.
        let body = json!({
            "component_appid": platform.component_appid,
            "component_secret": secret_of(platform)?,
        });
        let within = self.timeouts().total;
        let answered: Answered = self.ask(Endpoint::ApiStartPushTicket, None, &body, within).await?;
        let running = answered.errmsg.text().is_some_and(|text| text.contains("normal state"));
        Ok(if running { PushTicket::Running } else { PushTicket::Started })
    }
}

/// The secret of a platform whose tokens are our own.
fn secret_of(platform: &Platform) -> Result<&str, CallError> {
    platform.secret.as_ref().map(ExposeSecret::expose_secret).ok_or_else(|| {
        CallError::NoToken(TokenFault::NoPlatformToken(
            "the platform's secret is not known here: another system keeps its tokens".to_owned(),
        ))
    })
}

pub(super) fn secret(field: Scalar) -> Option<SecretString> {
    field.text().map(SecretString::from)
}

pub(super) fn expires_in(field: &Scalar) -> Result<Duration, CallError> {
    let secs = if *field == Scalar::Absent { Some(LIFETIME_SECS) } else { field.integer() };
    let secs = secs.filter(|secs| *secs > 0).map(|secs| secs.min(LIFETIME_SECS_MAX));
    let secs = secs.and_then(|secs| u64::try_from(secs).ok());
    secs.map(Duration::from_secs).ok_or_else(|| CallError::Unreadable("expires_in is no lifetime".to_owned()))
}

/// The permission sets of an authorization, sorted; `None`: it does not tell.
pub(super) fn granted(authorization: &Value) -> Option<Vec<i64>> {
    let entries = authorization.get("func_info").and_then(Value::as_array)?;
    let mut sets: Vec<i64> = entries
        .iter()
        .filter_map(|entry| Scalar::of(entry.get("funcscope_category").and_then(|set| set.get("id"))).integer())
        .collect();
    sets.sort_unstable();
    sets.dedup();
    Some(sets)
}

fn info(account: &Value, authorization: &Value) -> AuthorizerInfo {
    let present = |name: &str| account.get(name).is_some_and(|part| !part.is_null());
    // The documentation names the presence of these objects as the test for the kind.
    let kind = if present("MiniProgramInfo") {
        AccountKind::MiniProgram
    } else if ["channels_info", "store_info", "talent_info", "supplier_info"].into_iter().any(present) {
        AccountKind::Other
    } else {
        AccountKind::OfficialAccount
    };
    let name = |field: &str| Scalar::of(account.get(field)).text().map(|text| bounded(&text));
    let basic = account.get("basic_config");
    AuthorizerInfo {
        kind,
        nickname: name("nick_name"),
        username: name("user_name"),
        principal_name: name("principal_name"),
        account_status: Scalar::of(account.get("account_status")).integer(),
        permission_sets: granted(authorization),
        phone_configured: Scalar::of(basic.and_then(|basic| basic.get("is_phone_configured"))).switch(),
        refresh_token: secret(Scalar::of(authorization.get("authorizer_refresh_token"))),
    }
}
