//! Limit answers. One merchant's "slow down" is that merchant's own, and its record closes that merchant's endpoint; when
//! three merchants hear it within ten seconds the platform's limit is meant, and the endpoint closes for every process until
//! the next minute, and opens at a slower pace. A day's or a month's quota is always a merchant's own.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use chrono::TimeDelta;

use super::Inner;
use crate::domain::{Class, Endpoint, platform_time};

/// Different merchants that must hear it.
const MERCHANTS: usize = 3;
/// Within this time.
const WITHIN: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct SlowDowns {
    heard: Mutex<HashMap<Endpoint, Vec<(Instant, String)>>>,
}

impl SlowDowns {
    /// Notes that a merchant was told to slow down; `true`: enough different ones were.
    fn note(&self, endpoint: Endpoint, appid: &str) -> bool {
        let mut heard = self.heard.lock().expect("nobody panics while holding the list");
        let list = heard.entry(endpoint).or_default();
        list.retain(|(at, who)| at.elapsed() < WITHIN && who != appid);
        list.push((Instant::now(), appid.to_owned()));
        let enough = list.len() >= MERCHANTS;
        if enough {
            list.clear();
        }
        enough
    }
}

/// Endpoints that are closed, as this process knows it: their lanes claim nothing meanwhile.
#[derive(Default)]
pub(super) struct ClosedHere {
    until: Mutex<HashMap<Endpoint, Instant>>,
}

impl ClosedHere {
    pub(super) fn note(&self, endpoint: Endpoint, wait: Duration) {
        let until = Instant::now() + wait;
        self.until.lock().expect("nobody panics while holding the map").insert(endpoint, until);
    }

    /// When the endpoint opens; `None`: it is open.
    pub(super) fn opens_at(&self, endpoint: Endpoint) -> Option<Instant> {
        let known = self.until.lock().expect("nobody panics while holding the map").get(&endpoint).copied();
        known.filter(|until| *until > Instant::now())
    }
}

impl Inner {
    /// Books a limit answer of a merchant that has not just heard the same: one that hears it minute after minute is no
    /// sign of the platform's limit.
    pub(super) async fn slowed_down(&self, endpoint: Endpoint, appid: &str, class: Class, errcode: Option<i64>) {
        if class != Class::QuotaMinute || !self.slow_downs.note(endpoint, appid) {
            return;
        }
        let now = self.now();
        // Two processes that hear it come back at different moments.
        let jitter = TimeDelta::milliseconds(i64::from(self.store.process_id().as_bytes()[15]) * 8);
        let until = platform_time::next_minute(now) + jitter;
        let wait = (until - now).to_std().unwrap_or_default();
        self.wire.pace().close(self.platform.id, endpoint, wait);
        tracing::warn!(
            endpoint.name = endpoint.name(),
            errcode,
            ?wait,
            "WeChat says slow down; the endpoint is closed"
        );
        let reason = "several merchants were told to slow down";
        if let Err(error) = self.store.close_endpoint(self.platform.id, endpoint, until, errcode, reason, true).await {
            tracing::warn!(%error, "the closure could not be written; this process keeps it alone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_merchant_that_is_always_told_to_slow_down_closes_nothing() {
        let heard = SlowDowns::default();
        assert!((0..100).all(|_| !heard.note(Endpoint::CheckMobile, "wxa")));
    }

    #[test]
    fn the_third_merchant_within_ten_seconds_closes_the_endpoint() {
        let heard = SlowDowns::default();
        assert!(!heard.note(Endpoint::CheckMobile, "wxa"));
        assert!(!heard.note(Endpoint::GetCallbackConfig, "wxb"));
        assert!(!heard.note(Endpoint::CheckMobile, "wxb"));
        assert!(heard.note(Endpoint::CheckMobile, "wxc"));
    }
}
