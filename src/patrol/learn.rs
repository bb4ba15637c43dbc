//! What limits hold: this process says what it is set to, hears what closes an endpoint and what others are set to, and
//! asks WeChat about its own limits for a few merchants a day. What WeChat says tightens a limit and never loosens one.
//!
//! Nothing here is needed for the work to go on: a failure is said and tried again later.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::Inner;
use crate::{
    domain::{CallError, CheckName, Class, Endpoint, Limit, platform_time},
    store::{
        StoreError,
        limits::{LimitHeard, LimitTold, QuotaSaid},
    },
    wechat::{Frequency, Reply, Request},
};

/// How often this process listens.
const LISTEN: Duration = Duration::from_secs(5);
/// How often it says what it is set to.
const TELL: Duration = Duration::from_secs(30);
/// The first questions come when there are tokens and work has begun; then it is looked again whether any are left.
const ASK_FIRST: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(3600);
/// What was learned holds so long without being learned anew,
const LEARNED_MAX_HOURS: i32 = 48;
/// and so long where this process learns nothing: twice what one that does needs to say it again.
const LEARNED_BY_NOBODY_HOURS: i32 = 2;

/// What was heard last.
#[derive(Default)]
pub(super) struct Heard {
    merchant: Mutex<HashMap<Endpoint, Duration>>,
    platform: Mutex<HashMap<Endpoint, Duration>>,
}

impl Inner {
    /// From call to call of one merchant: the strictest of what is set here, what other processes are set to and what
    /// WeChat said. Zero: no limit.
    pub(super) fn merchant_interval(&self, endpoint: Endpoint) -> Duration {
        let set = self.settings.merchant_limits.get(&endpoint).map(Limit::spacing).unwrap_or_default();
        let heard = self.heard.merchant.lock().expect("nobody panics while holding the map").get(&endpoint).copied();
        set.max(heard.unwrap_or_default())
    }

    /// From call to call of the platform: the stricter of what is set here and what WeChat said. Zero: no rate.
    pub(super) fn platform_interval(&self, endpoint: Endpoint) -> Duration {
        let set = self.settings.limits.get(&endpoint).and_then(Limit::interval).unwrap_or_default();
        let heard = self.heard.platform.lock().expect("nobody panics while holding the map").get(&endpoint).copied();
        set.max(heard.unwrap_or_default())
    }
}

/// The check that tells which merchants can be asked about for an endpoint; `None`: no merchant's quota binds it.
fn told_by(endpoint: Endpoint) -> Option<CheckName> {
    match endpoint {
        Endpoint::CheckMobile => Some(CheckName::Phone),
        Endpoint::GetCallbackConfig => Some(CheckName::Callback),
        Endpoint::WxampLink | Endpoint::WxampLinkGet => Some(CheckName::Links),
        Endpoint::ApiComponentToken
        | Endpoint::ApiAuthorizerToken
        | Endpoint::ApiGetAuthorizerList
        | Endpoint::ApiGetAuthorizerInfo
        | Endpoint::ApiQueryAuth
        | Endpoint::ApiStartPushTicket
        | Endpoint::QuotaGet => None,
    }
}

/// Says what this process is set to before it looks for work: what that opens is open then.
pub(super) async fn begin(inner: &Inner) -> Option<Instant> {
    match tell(inner).await {
        Ok(()) => Some(Instant::now()),
        Err(error) => {
            tracing::debug!(%error, "what this process is set to is told later");
            None
        }
    }
}

/// Tells, listens and asks until the engine stops.
pub(super) async fn run(inner: Arc<Inner>, mut told_at: Option<Instant>) {
    let mut asked_at = Instant::now();
    let mut ask_after = ASK_FIRST;
    let mut said = HashMap::new();
    loop {
        if told_at.is_none_or(|at| at.elapsed() >= TELL) {
            told_at = begin(&inner).await.or(told_at);
        }
        if let Err(error) = listen(&inner, &mut said).await {
            tracing::debug!(%error, "what limits hold is heard later");
        }
        if inner.settings.learns && inner.settings.messages && asked_at.elapsed() >= ask_after {
            (asked_at, ask_after) = (Instant::now(), ASK_AGAIN);
            // A run does not wait for the questions: what is not asked when it ends stays unasked.
            let asked = tokio::select! {
                () = inner.stop.cancelled() => return,
                asked = ask(&inner) => asked,
            };
            if let Err(error) = asked {
                tracing::warn!(%error, "WeChat's limits are asked about later");
            }
        }
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = tokio::time::sleep(LISTEN) => {}
        }
    }
}

/// Says what this process is set to.
async fn tell(inner: &Inner) -> Result<(), StoreError> {
    let settings = &inner.settings;
    let told: Vec<LimitTold> = Endpoint::ALL
        .iter()
        .map(|endpoint| LimitTold {
            endpoint: *endpoint,
            limit: settings.limits.get(endpoint).or_else(|| settings.shadows.get(endpoint)).copied(),
            merchant: settings.merchant_limits.get(endpoint).copied(),
        })
        .collect();
    inner.store.tell_limits(inner.platform.id, &told).await?;
    // A process that learns none leaves those of one that does, which learns them anew every hour.
    let hours = if settings.learns { LEARNED_MAX_HOURS } else { LEARNED_BY_NOBODY_HOURS };
    inner.store.forget_limits(inner.platform.id, hours).await
}

/// Hears what holds, takes it over, and says what is new.
async fn listen(inner: &Inner, said: &mut HashMap<Endpoint, Vec<String>>) -> Result<(), StoreError> {
    for heard in inner.store.hear_limits(inner.platform.id).await? {
        let Some(endpoint) = heard.endpoint() else { continue };
        if let Some(wait) = heard.closed_for() {
            // A limited endpoint hears it with its slices; one without asks nobody.
            if !inner.settings.limits.contains_key(&endpoint) {
                inner.wire.pace().close(inner.platform.id, endpoint, wait.min(3 * LISTEN));
            }
        }
        if inner.settings.shadows.contains_key(&endpoint) {
            let (platform, endpoint) = (inner.label.clone(), endpoint.name());
            #[expect(clippy::cast_precision_loss, reason = "the calls of a day are few enough")]
            metrics::gauge!("wxpatrol_limit_shadow_held_back_today", "platform" => platform, "endpoint" => endpoint)
                .set(heard.held_back as f64);
        }
        let (merchant, platform) = (heard.merchant().unwrap_or_default(), heard.learned().unwrap_or_default());
        inner.heard.merchant.lock().expect("nobody panics while holding the map").insert(endpoint, merchant);
        inner.heard.platform.lock().expect("nobody panics while holding the map").insert(endpoint, platform);
        let news = news(inner, endpoint, &heard);
        let known = said.entry(endpoint).or_default();
        for sentence in &news {
            if !known.contains(sentence) {
                tracing::warn!(endpoint.name = endpoint.name(), "{sentence}");
            }
        }
        *known = news;
    }
    Ok(())
}

/// What an operator should know about an endpoint's limits.
fn news(inner: &Inner, endpoint: Endpoint, heard: &LimitHeard) -> Vec<String> {
    let mut news = Vec::new();
    let name = endpoint.name().to_uppercase();
    let per_minute = |interval: Duration| 60.0 / interval.as_secs_f64();
    if let Some(learned) = heard.learned() {
        let said = format!("WeChat allows {:.0} calls a minute for the platform", per_minute(learned));
        match inner.settings.limits.get(&endpoint) {
            Some(limit) if limit.interval().unwrap_or_default() < learned => news.push(format!(
                "{said}, as {} merchants' quotas say: less than WXPATROL_LIMIT_{name}={limit}, so the lower holds",
                heard.learned_from
            )),
            Some(_) => {}
            None => news.push(format!(
                "{said}, as {} merchants' quotas say, and nothing is held back: set WXPATROL_LIMIT_{name}",
                heard.learned_from
            )),
        }
    }
    let set = inner.settings.merchant_limits.get(&endpoint).map(Limit::spacing).unwrap_or_default();
    if let Some(learned) = heard.learned_for_merchant().filter(|learned| *learned > set) {
        news.push(format!(
            "WeChat allows {:.0} calls a minute for one merchant: less than WXPATROL_LIMIT_{name}_MERCHANT, so the lower holds",
            per_minute(learned)
        ));
    }
    if let Some(others) = &heard.others {
        news.push(format!("another process is set to {others}: the strictest holds for all, see the view limits"));
    }
    news
}

/// Asks what is left of today's questions.
pub(super) async fn ask(inner: &Inner) -> Result<u32, StoreError> {
    let platform = inner.platform.id;
    let mut asked = 0;
    for endpoint in Endpoint::ALL {
        let Some(check) = told_by(*endpoint) else { continue };
        while !inner.halted() {
            let Some(appid) = inner.store.take_question(platform, *endpoint, check).await? else { break };
            loop {
                match inner.wire.pace().permit(platform, Endpoint::QuotaGet).await {
                    Ok(permit) if permit.still_good() => break,
                    Ok(_) => {}
                    Err(_) => return Ok(asked),
                }
            }
            ask_about(inner, *endpoint, &appid).await?;
            asked += 1;
        }
        // Also without an answer: what is older than two days is forgotten.
        inner.store.learn_limits(platform, *endpoint).await?;
    }
    Ok(asked)
}

async fn ask_about(inner: &Inner, endpoint: Endpoint, appid: &str) -> Result<(), StoreError> {
    let platform = inner.platform.id;
    let (asked_at, deadline) = (inner.now(), Instant::now() + inner.settings.call_deadline);
    let request = Request::QuotaGet { about: endpoint };
    let answer = inner.wire.call_with_token(&inner.platform, appid, None, &request, deadline).await;
    let class = answer.result.as_ref().err().map_or(Class::Ok, CallError::class);
    let labels = [
        metrics::Label::new("platform", inner.label.clone()),
        metrics::Label::new("endpoint", endpoint.name()),
        metrics::Label::new("class", class.name()),
    ];
    metrics::counter!("wxpatrol_quota_questions_total", labels.iter()).increment(1);
    match answer.result {
        Ok(Reply::Quota(quota)) => {
            let pair = |rate: Option<Frequency>| rate.map(|rate| (rate.calls, rate.window_secs));
            let said = QuotaSaid {
                day: quota.day.map(|day| (day.limit, day.used)),
                rate: pair(quota.rate),
                platform_rate: pair(quota.component_rate),
            };
            inner.store.keep_quota(platform, appid, endpoint, Ok(said)).await?;
            if quota.day.is_some_and(|day| day.remain <= 0 && day.used >= day.limit) {
                let midnight = platform_time::after_midnight(asked_at);
                let until = midnight + chrono::TimeDelta::seconds(i64::from(rand::random::<u8>()));
                tracing::info!(
                    merchant.id = appid,
                    endpoint.name = endpoint.name(),
                    "the merchant's quota of the day is used up"
                );
                inner.store.close_merchant(platform, appid, endpoint, until, Class::QuotaDay).await?;
            }
        }
        Ok(_) => tracing::error!(endpoint.name = endpoint.name(), "the reply is no answer to the question: a bug"),
        Err(error) => {
            tracing::info!(merchant.id = appid, endpoint.name = endpoint.name(), %error, "WeChat said nothing about its limit");
            if let Some(errcode) = error.errcode() {
                inner.store.keep_quota(platform, appid, endpoint, Err(errcode)).await?;
            }
        }
    }
    Ok(())
}
