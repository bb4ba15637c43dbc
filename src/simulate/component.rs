//! The platform's own endpoints: its token, its merchants' tokens, the list of its merchants, and quotas.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::answer::{Asked, Bearer};
use super::endpoint::{Endpoint, Wants};
use super::gauge::hold;
use super::merchant::Mark;
use super::plan::Kind;
use super::world::World;

fn check_component(world: &World, asked: &Asked<'_>) -> Result<(), i64> {
    match asked.component_appid.as_deref() {
        None => Err(41018),
        Some(appid) if appid == world.plan.component_appid => Ok(()),
        Some(_) => Err(40013),
    }
}

pub(super) fn token(world: &World, asked: &Asked<'_>) -> Result<String, i64> {
    check_component(world, asked)?;
    if asked.component_appsecret.as_deref().ok_or(41004)? != world.plan.component_appsecret {
        return Err(40125);
    }
    world.check_ticket(asked.component_verify_ticket.as_deref().unwrap_or_default())?;
    let serial = world.issue(&mut hold(&world.component));
    world.component_fetches.fetch_add(1, Ordering::Relaxed);
    let lifetime = world.plan.token_lifetime.as_secs();
    let token = world.component_token(serial);
    Ok(format!(r#"{{"component_access_token":"{token}","expires_in":{lifetime}}}"#))
}

pub(super) fn start_push_ticket(world: &World, asked: &Asked<'_>) -> Result<String, i64> {
    check_component(world, asked)?;
    if asked.component_secret.as_deref().ok_or(41004)? != world.plan.component_appsecret {
        return Err(40013);
    }
    let errmsg = if world.ticket_pushed.swap(true, Ordering::Relaxed) { "in a normal state" } else { "ok" };
    Ok(format!(r#"{{"errcode":0,"errmsg":"{errmsg}"}}"#))
}

pub(super) fn authorizer_token(world: &World, asked: &Asked<'_>) -> Result<String, i64> {
    check_component(world, asked)?;
    let appid = asked.authorizer_appid.as_deref().ok_or(41002)?;
    let place = world.plan.place(appid).ok_or(61003)?;
    let traits = world.traits(place);
    let mut merchant = world.merchant(place);
    if merchant.withdrawn {
        return Err(61003);
    }
    let shown = asked.authorizer_refresh_token.as_deref().unwrap_or("");
    let serial = merchant.refresh_serial;
    let previous =
        serial > 0 && world.now() < merchant.refresh_previous_until && shown == traits.refresh_token(serial - 1);
    if !previous && shown != traits.refresh_token(serial) {
        return Err(61023);
    }
    let access = world.issue(&mut merchant.access);
    merchant.refreshes += 1;
    let empty = world.empty_refresh_tokens.load(Ordering::Relaxed);
    if world.rotate_refresh_tokens.load(Ordering::Relaxed) && !empty {
        merchant.refresh_serial += 1;
        merchant.refresh_previous_until = world.now().saturating_add(world.token_overlap());
    }
    Ok(format!(
        r#"{{"authorizer_access_token":"{}","expires_in":{},"authorizer_refresh_token":"{}"}}"#,
        traits.access_token(access),
        world.plan.token_lifetime.as_secs(),
        if empty { String::new() } else { traits.refresh_token(merchant.refresh_serial) },
    ))
}

/// The merchant and the number of an authorization code.
pub(super) fn code_of(world: &World, code: &str) -> Option<(u32, u32)> {
    let (_, rest) = Mark::read(code.strip_prefix("queryauthcode@@@")?).filter(|(mark, _)| *mark == world.mark)?;
    let (appid, serial) = rest.strip_prefix("code-")?.rsplit_once('-')?;
    Some((world.plan.place(appid)?, serial.parse().ok()?))
}

/// A code is good once, for an hour, and only while it is the newest of its merchant.
pub(super) fn query_auth(world: &World, asked: &Asked<'_>) -> Result<String, i64> {
    check_component(world, asked)?;
    let code = asked.authorization_code.as_deref().ok_or(61009)?;
    let (place, serial) = code_of(world, code).ok_or(61009)?;
    let traits = world.traits(place);
    let mut merchant = world.merchant(place);
    if merchant.withdrawn {
        return Err(61003);
    }
    if serial != merchant.code_serial || merchant.code_until == 0 {
        return Err(61009);
    }
    if world.now() >= merchant.code_until {
        return Err(61010);
    }
    merchant.code_until = 0;
    let mut body = format!(r#"{{"authorization_info":{{"authorizer_appid":"{}","#, world.plan.appid(place));
    if !merchant.no_api_rights {
        let access = world.issue(&mut merchant.access);
        write!(
            body,
            r#""authorizer_access_token":"{}","expires_in":{},"authorizer_refresh_token":"{}","#,
            traits.access_token(access),
            world.plan.token_lifetime.as_secs(),
            traits.refresh_token(merchant.refresh_serial),
        )
        .expect("writing to a string cannot fail");
    }
    write_func_info(&mut body, merchant.permission_sets(&traits));
    body.push_str("}}");
    Ok(body)
}

fn write_func_info(body: &mut String, sets: &[u16]) {
    body.push_str(r#""func_info":["#);
    for (n, set) in sets.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        write!(body, r#"{comma}{{"funcscope_category":{{"id":{set}}}}}"#).expect("writing to a string cannot fail");
    }
    body.push(']');
}

pub(super) fn authorizer_list(world: &World, asked: &Asked<'_>) -> Result<String, i64> {
    check_component(world, asked)?;
    let (offset, count) = (asked.offset.ok_or(40097)?, asked.count.ok_or(40097)?);
    if count > 500 {
        return Err(40170);
    }
    let merchant_count = world.plan.merchant_count();
    let withdrawn = world.withdrawn.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let once = merchant_count as usize - withdrawn.len();
    let twice: Vec<u32> = world.listed_twice().into_iter().filter(|place| !withdrawn.contains(place)).collect();
    let nameless = world.listed_nameless();
    let total = once + twice.len();
    // The place of the merchant that is number `offset` among those still here.
    let mut place = u32::try_from(offset).unwrap_or(u32::MAX).min(merchant_count);
    for gone in withdrawn.iter() {
        if *gone > place {
            break;
        }
        place += 1;
    }
    let mut body = String::with_capacity(48 + 160 * count as usize);
    write!(body, r#"{{"total_count":{total},"list":["#).expect("writing to a string cannot fail");
    let beyond = usize::try_from(offset).unwrap_or(usize::MAX).saturating_sub(once);
    let listed = (place..merchant_count).filter(|place| !withdrawn.contains(place));
    let page = listed.chain(twice.into_iter().skip(beyond)).take(count as usize);
    for (n, place) in page.enumerate() {
        let traits = world.traits(place);
        let merchant = world.merchant(place);
        let refresh_token =
            if merchant.refresh_hidden { String::new() } else { traits.refresh_token(merchant.refresh_serial) };
        let comma = if n == 0 { "" } else { "," };
        let appid =
            if nameless.contains(&place) { "null".to_owned() } else { format!(r#""{}""#, world.plan.appid(place)) };
        write!(
            body,
            r#"{comma}{{"authorizer_appid":{appid},"refresh_token":"{refresh_token}","auth_time":{}}}"#,
            merchant.authorized_at.unwrap_or_else(|| traits.auth_time()),
        )
        .expect("writing to a string cannot fail");
    }
    body.push_str("]}");
    drop(withdrawn);
    world.page_answered();
    Ok(body)
}

pub(super) fn authorizer_info(world: &World, asked: &Asked<'_>) -> Result<String, i64> {
    check_component(world, asked)?;
    let appid = asked.authorizer_appid.as_deref().ok_or(41002)?;
    let place = world.plan.place(appid).ok_or(61003)?;
    let traits = world.traits(place);
    let merchant = world.merchant(place);
    if merchant.withdrawn {
        return Err(61003);
    }
    let nick_name = serde_json::Value::from(traits.nick_name());
    let mut body = String::with_capacity(1024);
    write!(
        body,
        r#"{{"authorizer_info":{{"nick_name":{nick_name},"head_img":"http://wx.qlogo.cn/mmopen/x/0","service_type_info":{{"id":{}}},"verify_type_info":{{"id":0}},"user_name":"{}","alias":"","qrcode_url":"http://mmbiz.qpic.cn/x/0","principal_name":"{}","signature":"","account_status":{},"business_info":{{"open_pay":0,"open_shake":0,"open_scan":0,"open_card":0,"open_store":0}}"#,
        if world.plan.kind(place) == Kind::MiniProgram { 0 } else { 2 },
        traits.user_name(),
        traits.principal_name(),
        merchant.account_status(&traits),
    )
    .expect("writing to a string cannot fail");
    if world.plan.kind(place) == Kind::MiniProgram {
        write!(
            body,
            r#","MiniProgramInfo":{{"network":{{"RequestDomain":["https://shop{place}.example.com"]}},"categories":[{{"first":"Shop","second":"Food"}}]}},"basic_config":{{"is_phone_configured":{},"is_email_configured":true}}"#,
            merchant.phone_bound,
        )
        .expect("writing to a string cannot fail");
    }
    write!(body, r#"}},"authorization_info":{{"authorizer_appid":"{appid}","#,)
        .expect("writing to a string cannot fail");
    if !merchant.no_api_rights {
        let refresh_token = traits.refresh_token(merchant.refresh_serial);
        write!(body, r#""authorizer_refresh_token":"{refresh_token}","#).expect("writing to a string cannot fail");
    }
    write_func_info(&mut body, merchant.permission_sets(&traits));
    body.push_str("}}");
    Ok(body)
}

/// Counts are those of the whole platform, unless figures are scripted: the simulator keeps none by merchant and endpoint.
pub(super) fn quota(world: &World, asked: &Asked<'_>, bearer: Option<Bearer>) -> Result<String, i64> {
    let path = asked.cgi_path.as_deref().filter(|path| path.starts_with('/')).ok_or(76003)?;
    let endpoint = Endpoint::from_path(path).ok_or(76021)?;
    let fits = match (endpoint.wants(), bearer) {
        (Wants::Account(kind), Some(Bearer::Account { place, .. })) => world.plan.kind(place) == kind,
        (Wants::Component | Wants::Nothing, Some(Bearer::Component(_))) | (Wants::Any, _) => true,
        _ => false,
    };
    if !fits {
        return Err(76022);
    }
    if let Some(Bearer::Account { place, .. }) = bearer
        && let Some(quota) = hold(&world.script.quotas).get(&(place, endpoint))
    {
        return Ok(quota.answer());
    }
    let used = world.gauge(endpoint).arrived();
    let daily_limit = 10_000_000_u64.max(used);
    let mut body = format!(
        r#"{{"errcode":0,"errmsg":"ok","quota":{{"daily_limit":{daily_limit},"used":{used},"remain":{}}}"#,
        daily_limit - used,
    );
    if let Some(limit) = world.gauge(endpoint).limit_now() {
        write!(body, r#","component_rate_limit":{{"call_count":{limit},"refresh_second":1}}"#)
            .expect("writing to a string cannot fail");
    }
    body.push('}');
    Ok(body)
}
