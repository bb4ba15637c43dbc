//! The control paths under `/_sim/`: the handle [`World`] over HTTP, for another process or for a person with `curl`.
//! The table of them is in the module's documentation, and a test compares it with this file.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::link::LinkMode;
use super::oddity::Rule;
use super::paging::ListChange;
use super::platforms::Platforms;
use super::push::{Push, ReceiverUrl};
use super::quota::ScriptedQuota;
use super::refusal::WorldError;
use super::wire;
use super::world::World;

/// Why a control call was refused, said in the answer.
enum Refusal {
    NoSuchPath,
    Malformed(String),
    World(WorldError),
}

impl From<WorldError> for Refusal {
    fn from(error: WorldError) -> Self {
        Self::World(error)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    appid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    offset: usize,
    count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MerchantSwitch {
    appid: String,
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    pages: Vec<Vec<ListChange>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seconds {
    seconds: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sets {
    appid: String,
    sets: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    appid: String,
    status: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallbackOf {
    appid: String,
    data: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    endpoint: Endpoint,
    per_second: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaOf {
    appid: String,
    endpoint: Endpoint,
    quota: Option<ScriptedQuota>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    official_account: String,
    mini_program: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairMode {
    official_account: String,
    mini_program: String,
    mode: LinkMode,
}

pub(super) async fn respond(platforms: &Platforms, method: &Method, path: &str, query: &str, body: &[u8]) -> Response {
    let answer = match meant(platforms, query) {
        Ok(world) if *method == Method::GET => read(platforms, world, path, query),
        Ok(world) => change(world, path, body).await,
        Err(refusal) => Err(refusal),
    };
    let (status, value) = match answer {
        Ok(value) => (StatusCode::OK, value),
        Err(Refusal::NoSuchPath) => {
            let other = if *method == Method::GET { Method::POST } else { Method::GET };
            let error =
                format!("no such control path for {method}; README lists them, and {other} may be what was meant");
            (StatusCode::NOT_FOUND, json!({"error": error}))
        }
        Err(Refusal::Malformed(reason)) => (StatusCode::BAD_REQUEST, json!({"error": reason})),
        Err(Refusal::World(error)) => (StatusCode::UNPROCESSABLE_ENTITY, json!({"error": error.to_string()})),
    };
    let mut response = wire::json(value.to_string());
    *response.status_mut() = status;
    response
}

/// The platform that `platform=APPID` names; the first one otherwise.
fn meant<'a>(platforms: &'a Platforms, query: &str) -> Result<&'a World, Refusal> {
    match url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "platform") {
        None => Ok(&platforms.first),
        Some((_, appid)) => platforms
            .named(&appid)
            .map(AsRef::as_ref)
            .ok_or_else(|| Refusal::World(WorldError::UnknownPlatform(appid.into_owned()))),
    }
}

fn listed(world: &World) -> Value {
    let plan = world.plan();
    json!({"component_appid": plan.component_appid, "merchants": plan.merchant_count()})
}

fn shown(value: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| Refusal::Malformed(error.to_string()))
}

fn read(platforms: &Platforms, world: &World, path: &str, query: &str) -> Result<Value, Refusal> {
    let parameter = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let number = |name: &str, default: f64| match parameter(name) {
        None => Ok(default),
        Some(text) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(Refusal::Malformed(format!("{name} is no number, or below zero"))),
        },
    };
    let whole = |name: &str, default: usize| match parameter(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Refusal::Malformed(format!("{name} is no whole number"))),
    };
    let endpoint = || {
        parameter("endpoint")
            .and_then(|name| Endpoint::from_name(&name))
            .ok_or_else(|| Refusal::Malformed("endpoint=NAME is missing or unknown".to_owned()))
    };
    match path {
        "platforms" => Ok(platforms.all().map(|world| listed(world)).collect()),
        "readout" => shown(world.readout()),
        "plan" => shown(world.plan()),
        "merchants" => shown(world.merchants_from(whole("offset", 0)?, whole("count", 1000)?)),
        "merchant" => shown(world.merchant_card(&parameter("appid").unwrap_or_default())?),
        "counts" => shown(world.counts(endpoint()?)),
        "arrivals" => shown(world.arrivals(endpoint()?)),
        "worst_window" => {
            let window = seconds(number("seconds", 1.0)?)?;
            shown(world.worst_window(endpoint()?, window))
        }
        "used_share" => shown(world.used_share(endpoint()?, number("per_second", 1.0)?)),
        "answered_well" => shown(world.answered_well(endpoint()?)),
        "asks" => shown(world.asks()),
        "invitations" => shown(world.invitations()),
        "links" => shown(world.links(&parameter("appid").unwrap_or_default())?),
        "refreshes" => shown(world.refreshes()),
        "pushes" => shown(world.pushes()),
        "elsewhere" => {
            world.redirects_followed.fetch_add(1, Ordering::Relaxed);
            Ok(json!({"errcode": 0, "errmsg": "ok", "has_mobile": true}))
        }
        _ => Err(Refusal::NoSuchPath),
    }
}

fn seconds(secs: f64) -> Result<Duration, Refusal> {
    Duration::try_from_secs_f64(secs).map_err(|error| Refusal::Malformed(error.to_string()))
}

async fn change(world: &World, path: &str, body: &[u8]) -> Result<Value, Refusal> {
    fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
        serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))
    }
    let mut answer = json!({"ok": true});
    match path {
        "script" => world.script(parse::<Rule>(body)?)?,
        "clear_script" => world.clear_script(),
        "advance" => world.advance(seconds(parse::<Seconds>(body)?.seconds)?),
        "expire_all_tokens" => world.expire_all_tokens(),
        "token_overlap" => world.set_token_overlap(seconds(parse::<Seconds>(body)?.seconds)?),
        "issue_live_token" => {
            let (access_token, expires_in) = world.issue_live_token(&parse::<Of>(body)?.appid)?;
            answer = json!({"access_token": access_token, "expires_in": expires_in});
        }
        "issue_live_tokens" => {
            let Range { offset, count } = parse(body)?;
            answer = shown(world.issue_live_tokens(offset, count))?;
        }
        "issue_component_token" => {
            let (component_access_token, expires_in) = world.issue_component_token();
            answer = json!({"component_access_token": component_access_token, "expires_in": expires_in});
        }
        "rotate_refresh_tokens" => world.set_rotate_refresh_tokens(parse::<Switch>(body)?.on),
        "empty_refresh_tokens" => world.set_empty_refresh_tokens(parse::<Switch>(body)?.on),
        "hide_refresh_token" => {
            let MerchantSwitch { appid, on } = parse(body)?;
            world.hide_refresh_token(&appid, on)?;
        }
        "list_twice" => {
            let MerchantSwitch { appid, on } = parse(body)?;
            world.list_twice(&appid, on)?;
        }
        "list_nameless" => {
            let MerchantSwitch { appid, on } = parse(body)?;
            world.list_nameless(&appid, on)?;
        }
        "change_list_after_pages" => world.change_list_after_pages(parse::<Pages>(body)?.pages)?,
        "throttle_asks" => world.set_throttle_asks(parse::<Switch>(body)?.on),
        "record_arrivals" => world.set_record_arrivals(parse::<Switch>(body)?.on),
        "latency" => world.set_latency(seconds(parse::<Seconds>(body)?.seconds)?),
        "limit" => {
            let Limit { endpoint, per_second } = parse(body)?;
            world.set_limit(endpoint, per_second);
        }
        "quota" => {
            let QuotaOf { appid, endpoint, quota } = parse(body)?;
            world.set_quota(&appid, endpoint, quota)?;
        }
        "reset_counts" => world.reset_counts(),
        "bind_phone" => world.bind_phone(&parse::<Of>(body)?.appid)?,
        "unbind_phone" => world.unbind_phone(&parse::<Of>(body)?.appid)?,
        "withdraw" => world.withdraw(&parse::<Of>(body)?.appid)?,
        "authorize" => world.authorize(&parse::<Of>(body)?.appid)?,
        "update_authorization" => {
            let Sets { appid, sets } = parse(body)?;
            world.update_authorization(&appid, &sets)?;
        }
        "api_rights" => {
            let MerchantSwitch { appid, on } = parse(body)?;
            world.set_api_rights(&appid, on)?;
        }
        "receiver" => world.set_receiver(parse::<ReceiverUrl>(body)?)?,
        "stop_tickets" => world.stop_tickets(),
        "push" => answer = shown(world.push(&parse::<Push>(body)?).await?)?,
        "permission_sets" => {
            let Sets { appid, sets } = parse(body)?;
            world.set_permission_sets(&appid, &sets)?;
        }
        "account_status" => {
            let Status { appid, status } = parse(body)?;
            world.set_account_status(&appid, status)?;
        }
        "change_callback" => world.change_callback(&parse::<Of>(body)?.appid)?,
        "callback" => {
            let CallbackOf { appid, data } = parse(body)?;
            world.set_callback(&appid, data)?;
        }
        "link_mode" => {
            let PairMode { official_account, mini_program, mode } = parse(body)?;
            world.link_mode(&official_account, &mini_program, mode)?;
        }
        "approve" => {
            let Pair { official_account, mini_program } = parse(body)?;
            answer = json!({"approved": world.approve(&official_account, &mini_program)?});
        }
        "unlink" => {
            let Pair { official_account, mini_program } = parse(body)?;
            answer = json!({"unlinked": world.unlink(&official_account, &mini_program)?});
        }
        _ => return Err(Refusal::NoSuchPath),
    }
    Ok(answer)
}
