//! What WeChat answers: one function from a call to a body or an errcode, with the call's effect on the world.
//!
//! Checks come in WeChat's order: method, token, body, permission, then the question itself.

use std::borrow::Cow;

use serde::Deserialize;

use super::callback;
use super::component;
use super::endpoint::{Endpoint, Wants};
use super::link::{Invitation, Invited};
use super::merchant::{Mark, Stale};
use super::plan::Kind;
use super::world::World;

/// Twenty-four hours in microseconds.
const DAY: u64 = 24 * 3600 * 1_000_000;

/// A call, read but not yet answered.
pub(super) struct Call<'a> {
    pub endpoint: Endpoint,
    pub post: bool,
    pub bearer: Option<Bearer>,
    pub asked: Result<Asked<'a>, i64>,
    query: &'a str,
    body: &'a [u8],
}

/// Whose token a call brings, before it is checked whether it still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    Component(u32),
    Account { place: u32, serial: u32 },
    Garbage,
}

/// Every field of every request; each endpoint looks at its own.
#[derive(Default, Deserialize)]
pub(super) struct Asked<'a> {
    #[serde(borrow)]
    pub component_appid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub component_appsecret: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub component_secret: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub component_verify_ticket: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub authorizer_appid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub authorizer_refresh_token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub authorization_code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub appid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub cgi_path: Option<Cow<'a, str>>,
    pub offset: Option<u64>,
    pub count: Option<u64>,
    pub push_tmpl: Option<bool>,
    pub notify_users: Option<Flag>,
    pub show_profile: Option<Flag>,
}

/// The tables say number, the example of the same page shows a string: both are taken.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Flag {
    Number(u8),
    Text(String),
}

impl Flag {
    fn on(&self) -> Option<bool> {
        match self {
            Self::Number(0) => Some(false),
            Self::Number(1) => Some(true),
            Self::Text(text) if text == "0" => Some(false),
            Self::Text(text) if text == "1" => Some(true),
            Self::Number(_) | Self::Text(_) => None,
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn read(world: &World, endpoint: Endpoint, post: bool, query: &'a str, body: &'a [u8]) -> Self {
        let asked = match body {
            [] => Err(44002),
            body => serde_json::from_slice(body).map_err(|_| 47001),
        };
        Self { endpoint, post, bearer: token(query, endpoint).map(|token| bearer(world, &token)), asked, query, body }
    }

    /// Whether the call has a person messaged.
    pub(super) fn messages(&self) -> bool {
        let asks = || self.asked.as_ref().is_ok_and(|asked| asked.push_tmpl == Some(true));
        self.endpoint == Endpoint::Wxamplink || self.endpoint == Endpoint::Checkmobile && asks()
    }

    /// What the call brought, in one line: the values of its address as they stood there and decoded, and its body.
    pub(super) fn repeated(&self) -> String {
        let raw = self.query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| Cow::Borrowed(value));
        let decoded = url::form_urlencoded::parse(self.query.as_bytes()).map(|(_, value)| value);
        let values: Vec<Cow<'_, str>> = raw.chain(decoded).collect();
        format!("{} {}", values.join(" "), String::from_utf8_lossy(self.body))
    }

    /// The merchant that the call is about.
    pub(super) fn subject(&self, world: &World) -> Option<u32> {
        match (self.endpoint.wants(), self.bearer) {
            (Wants::Account(_) | Wants::Any, Some(Bearer::Account { place, .. })) => Some(place),
            (Wants::Component, _) => {
                let asked = self.asked.as_ref().ok()?;
                match (&asked.authorizer_appid, &asked.authorization_code) {
                    (Some(appid), _) => world.plan.place(appid),
                    (None, Some(code)) => component::code_of(world, code).map(|(place, _)| place),
                    (None, None) => None,
                }
            }
            _ => None,
        }
    }
}

/// The token that a call brings. That of a merchant has one name; WeChat's pages do not agree on that of the platform's own.
pub(super) fn token(query: &str, endpoint: Endpoint) -> Option<Cow<'_, str>> {
    let platform_s = endpoint.wants() == Wants::Component;
    let named = |key: &str| key == "access_token" || platform_s && key == "component_access_token";
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(key, value)| named(key) && !value.is_empty()).map(|(_, value)| value).last()
}

fn bearer(world: &World, token: &str) -> Bearer {
    let Some((_, token)) = Mark::read(token).filter(|(mark, _)| *mark == world.mark) else { return Bearer::Garbage };
    let component = token.strip_prefix("ct-").and_then(|serial| serial.parse().ok()).map(Bearer::Component);
    component
        .or_else(|| {
            let (appid, serial) = token.strip_prefix("at-")?.split_once('-')?;
            Some(Bearer::Account { place: world.plan.place(appid)?, serial: serial.parse().ok()? })
        })
        .unwrap_or(Bearer::Garbage)
}

fn errcode(stale: Stale) -> i64 {
    match stale {
        Stale::Expired => 42001,
        Stale::Replaced => 40001,
        Stale::NeverIssued => 40014,
    }
}

/// The body, or the errcode.
pub(super) fn answer(world: &World, call: &Call<'_>) -> Result<String, i64> {
    if !call.post {
        return Err(43002);
    }
    match call.endpoint.wants() {
        Wants::Nothing => {}
        Wants::Component => match call.bearer.ok_or(41001)? {
            Bearer::Component(serial) => check_component_token(world, serial)?,
            Bearer::Account { .. } => return Err(61014),
            Bearer::Garbage => return Err(40014),
        },
        Wants::Account(kind) => match call.bearer.ok_or(41001)? {
            Bearer::Account { place, serial } => return answer_account(world, call, kind, place, serial),
            Bearer::Component(_) => return Err(61015),
            Bearer::Garbage => return Err(40014),
        },
        Wants::Any => match call.bearer.ok_or(41001)? {
            Bearer::Component(serial) => check_component_token(world, serial)?,
            Bearer::Account { place, serial } => check_account_token(world, place, serial)?,
            Bearer::Garbage => return Err(40014),
        },
    }
    let asked = call.asked.as_ref().map_err(|errcode| *errcode)?;
    match call.endpoint {
        Endpoint::ApiComponentToken => component::token(world, asked),
        Endpoint::ApiStartPushTicket => component::start_push_ticket(world, asked),
        Endpoint::ApiAuthorizerToken => component::authorizer_token(world, asked),
        Endpoint::ApiGetAuthorizerList => component::authorizer_list(world, asked),
        Endpoint::ApiGetAuthorizerInfo => component::authorizer_info(world, asked),
        Endpoint::ApiQueryAuth => component::query_auth(world, asked),
        Endpoint::QuotaGet => component::quota(world, asked, call.bearer),
        Endpoint::Checkmobile | Endpoint::Getcallbackconfig | Endpoint::Wxamplink | Endpoint::Wxamplinkget => {
            // The match above has returned for every endpoint that wants an account's token.
            Err(40066)
        }
    }
}

fn check_component_token(world: &World, serial: u32) -> Result<(), i64> {
    super::gauge::hold(&world.component).check(serial, world.now(), world.token_epoch()).map_err(errcode)
}

fn check_account_token(world: &World, place: u32, serial: u32) -> Result<(), i64> {
    let merchant = world.merchant(place);
    if merchant.withdrawn {
        return Err(61003);
    }
    merchant.access.check(serial, world.now(), world.token_epoch()).map_err(errcode)
}

fn answer_account(world: &World, call: &Call<'_>, kind: Kind, place: u32, serial: u32) -> Result<String, i64> {
    check_account_token(world, place, serial)?;
    if world.plan.kind(place) != kind {
        return Err(48001);
    }
    let asked = call.asked.as_ref().map_err(|errcode| *errcode)?;
    let traits = world.traits(place);
    let mut merchant = world.merchant(place);
    let granted = merchant.permission_sets(&traits);
    if !call.endpoint.permission_sets().iter().any(|set| granted.contains(set)) {
        return Err(61007);
    }
    if matches!(merchant.account_status(&traits), 14 | 16 | 19) {
        return Err(50002);
    }
    match call.endpoint {
        Endpoint::Checkmobile => {
            if asked.push_tmpl == Some(true) && !merchant.phone_bound {
                let now = world.now();
                let throttled = world.throttle_asks.load(std::sync::atomic::Ordering::Relaxed)
                    && merchant.asks.last().is_some_and(|last| now - last < DAY);
                if throttled {
                    return Err(-601_026);
                }
                merchant.asks.push(now);
            }
            Ok(format!(r#"{{"errcode":0,"errmsg":"ok","has_mobile":{}}}"#, merchant.phone_bound))
        }
        Endpoint::Getcallbackconfig => callback::answer(&mut merchant, &traits),
        Endpoint::Wxamplinkget => Ok(merchant.links.get_or_insert_default().poll(&world.plan, place)),
        Endpoint::Wxamplink => {
            let target = asked.appid.as_deref().ok_or(41002)?;
            let notify_users = asked.notify_users.as_ref().and_then(Flag::on).ok_or(40097)?;
            asked.show_profile.as_ref().and_then(Flag::on).ok_or(40097)?;
            let target = world.plan.place(target).ok_or(40013)?;
            if world.plan.kind(target) == Kind::OfficialAccount {
                // Reported by users: a service account as the target is a permanent fault behind a transient code.
                return Err(-1);
            }
            match merchant.links.get_or_insert_default().invite(&world.plan, place, target) {
                Invited::Answers(errcode) => Err(errcode),
                Invited::Sent => {
                    drop(merchant);
                    super::gauge::hold(&world.invitations).push(Invitation {
                        official_account: world.plan.appid(place),
                        mini_program: world.plan.appid(target),
                        at_micros: world.now(),
                        notify_users,
                    });
                    Ok(r#"{"errcode":0,"errmsg":"ok"}"#.to_owned())
                }
            }
        }
        Endpoint::ApiComponentToken
        | Endpoint::ApiStartPushTicket
        | Endpoint::ApiAuthorizerToken
        | Endpoint::ApiGetAuthorizerList
        | Endpoint::ApiGetAuthorizerInfo
        | Endpoint::ApiQueryAuth
        // Not reached: these want no account's token, so `answer` does not come here with them.
        | Endpoint::QuotaGet => Err(40066),
    }
}
