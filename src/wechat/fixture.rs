//! What the tests of the wire stand on: a scripted WeChat on the loopback, and a vault and limits in memory.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::Uri;
use axum::routing::post;
use chrono::DateTime;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::domain::ports::{
    Cause, Ended, Holder, NewToken, PortError, RefreshClaim, RefreshLease, Refreshed, Slice, Unused,
};

pub(super) const APPID: &str = "wx1111111111111111";

/// One call that arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) body: Value,
}

/// A WeChat that answers by script, and otherwise well with the number of the call in its tokens.
#[derive(Clone, Default)]
pub(super) struct Script {
    answers: Arc<Mutex<HashMap<&'static str, VecDeque<Value>>>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    meanwhile: Arc<Mutex<HashMap<&'static str, Meanwhile>>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

impl Script {
    /// The next answer of an endpoint; `null` never answers.
    pub(super) fn next(&self, endpoint: Endpoint, answer: Value) {
        self.answers.lock().unwrap().entry(endpoint.path()).or_default().push_back(answer);
    }

    /// What happens between the next call of an endpoint and its answer.
    pub(super) fn meanwhile(&self, endpoint: Endpoint, happens: impl FnOnce() + Send + 'static) {
        self.meanwhile.lock().unwrap().insert(endpoint.path(), Box::new(happens));
    }

    /// The calls of an endpoint so far.
    pub(super) fn calls(&self, endpoint: Endpoint) -> Vec<Arrived> {
        self.arrived.lock().unwrap().iter().filter(|call| call.path == endpoint.path()).cloned().collect()
    }

    async fn answer(self, uri: Uri, query: HashMap<String, String>, body: Bytes) -> String {
        let path = uri.path().to_owned();
        let nth = {
            let mut arrived = self.arrived.lock().unwrap();
            arrived.push(Arrived { path: path.clone(), query, body: serde_json::from_slice(&body).unwrap() });
            arrived.iter().filter(|call| call.path == path).count()
        };
        if let Some(happens) = self.meanwhile.lock().unwrap().remove(path.as_str()) {
            happens();
        }
        let scripted = self.answers.lock().unwrap().get_mut(path.as_str()).and_then(VecDeque::pop_front);
        let answer = scripted.unwrap_or_else(|| match path.as_str() {
            "/cgi-bin/component/api_component_token" => {
                json!({"component_access_token": format!("fake-component-{nth}"), "expires_in": 7200})
            }
            "/cgi-bin/component/api_authorizer_token" => json!({
                "authorizer_access_token": format!("fake-token-{nth}"),
                "expires_in": 7200,
                "authorizer_refresh_token": format!("fake-refresh-{nth}"),
            }),
            _ => json!({"errcode": 0, "errmsg": "ok", "has_mobile": true}),
        });
        if answer.is_null() {
            std::future::pending::<()>().await;
        }
        answer.to_string()
    }
}

/// One row of the vault.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) token: Option<(String, Instant)>,
    pub(super) version: i64,
    pub(super) refresh_token: Option<String>,
    fence: i64,
    pub(super) leased: bool,
    pub(super) cooling: Option<(String, Option<i64>)>,
    pub(super) lost: Option<String>,
    pub(super) withdrawn: bool,
    pub(super) refresh_version: i64,
    pub(super) refused_at: Option<Instant>,
    pub(super) contested: Vec<i64>,
    /// A refresh token that somebody stores while the next refresh is under way.
    pub(super) comes_meanwhile: Option<String>,
}

impl Row {
    fn stored(&self) -> Option<StoredToken> {
        let (token, until) = self.token.as_ref()?;
        Some(StoredToken {
            access_token: SecretString::from(token.clone()),
            good_for: until.saturating_duration_since(Instant::now()),
            version: self.version,
        })
    }
}

/// A vault in memory with the promises of the real one, but for the end of a lease.
#[derive(Default)]
pub(super) struct Vault {
    rows: Mutex<HashMap<Holder, Row>>,
    pub(super) ticket: Mutex<Option<&'static str>>,
    pub(super) odd: Mutex<HashSet<String>>,
    /// The version of the component token that is known to be dead.
    pub(super) dead: Mutex<Option<i64>>,
}

impl Vault {
    pub(super) fn with<T>(&self, holder: &Holder, change: impl FnOnce(&mut Row) -> T) -> T {
        change(self.rows.lock().unwrap().entry(holder.clone()).or_default())
    }

    pub(super) fn merchant<T>(&self, change: impl FnOnce(&mut Row) -> T) -> T {
        self.with(&Holder::Merchant(APPID.to_owned()), change)
    }

    /// Stores a token that is good for so long; what a reader gets.
    pub(super) fn put(&self, token: &str, good_for: Duration) -> StoredToken {
        self.merchant(|row| {
            row.version += 1;
            row.token = Some((token.to_owned(), Instant::now() + good_for));
            row.stored().unwrap()
        })
    }
}

#[async_trait]
impl TokenVault for Vault {
    async fn token(&self, _: PlatformId, holder: &Holder) -> Result<Option<StoredToken>, PortError> {
        Ok(self.with(holder, |row| row.stored()))
    }

    async fn claim_refresh(
        &self,
        _: PlatformId,
        holder: &Holder,
        seen: Option<i64>,
        cause: Cause,
        _: Duration,
    ) -> Result<RefreshClaim, PortError> {
        Ok(self.with(holder, |row| {
            if let Some(token) = row.stored().filter(|token| Some(token.version) != seen && !token.good_for.is_zero()) {
                return RefreshClaim::Newer(token);
            }
            if row.withdrawn {
                return RefreshClaim::Withdrawn;
            }
            if let Some(reason) = row.lost.clone() {
                return RefreshClaim::Lost(reason);
            }
            if row.leased {
                return RefreshClaim::Elsewhere;
            }
            if let Some((reason, errcode)) = row.cooling.clone() {
                return RefreshClaim::CoolingDown { reason, errcode, wait: Duration::from_secs(60) };
            }
            let wait = row.refused_at.map_or(Duration::ZERO, |at| Duration::from_secs(30).saturating_sub(at.elapsed()));
            if *holder == Holder::Component && cause == Cause::Refused && !wait.is_zero() {
                return RefreshClaim::TooSoon { wait };
            }
            row.leased = true;
            row.fence += 1;
            let refresh_token = row.refresh_token.clone().map(SecretString::from);
            let refresh_version = row.refresh_version;
            if let Some(token) = row.comes_meanwhile.take() {
                row.refresh_token = Some(token);
                row.refresh_version += 1;
            }
            let component_refused = *self.dead.lock().unwrap();
            let taken_at = DateTime::UNIX_EPOCH;
            RefreshClaim::Granted(RefreshLease {
                fence: row.fence,
                refresh_token,
                refresh_version,
                component_refused,
                taken_at,
            })
        }))
    }

    async fn end_refresh(
        &self,
        _: PlatformId,
        holder: &Holder,
        lease: &RefreshLease,
        how: Refreshed,
    ) -> Result<Ended, PortError> {
        Ok(self.with(holder, |row| {
            if row.fence != lease.fence {
                return Ended::TakenOver;
            }
            row.leased = false;
            match how {
                Refreshed::Token(NewToken { access_token, expires_in, refresh_token, cause }) => {
                    row.version += 1;
                    row.token = Some((access_token.expose_secret().to_owned(), Instant::now() + expires_in));
                    if let Some(refresh_token) = refresh_token
                        && row.refresh_version == lease.refresh_version
                    {
                        row.refresh_token = Some(refresh_token.expose_secret().to_owned());
                        row.refresh_version += 1;
                    }
                    if cause == Cause::Refused {
                        row.refused_at = Some(Instant::now());
                    }
                    return Ended::Stored(row.stored().unwrap());
                }
                Refreshed::Failed { reason, errcode, .. } => row.cooling = Some((reason, errcode)),
                Refreshed::Back => {}
                Refreshed::Lost { .. } if row.refresh_version != lease.refresh_version => return Ended::Replaced,
                Refreshed::Lost { reason } => row.lost = Some(reason),
                Refreshed::Withdrawn => row.withdrawn = true,
            }
            Ended::Booked
        }))
    }

    async fn drop_refused(&self, _: PlatformId, appid: &str, version: i64) -> Result<(), PortError> {
        self.with(&Holder::Merchant(appid.to_owned()), |row| {
            row.token = row.token.take().filter(|_| row.version != version);
        });
        Ok(())
    }

    async fn note_dead(&self, _: PlatformId, version: i64) -> Result<(), PortError> {
        *self.dead.lock().unwrap() = Some(version);
        Ok(())
    }

    async fn dead(&self, _: PlatformId) -> Result<Option<i64>, PortError> {
        Ok(*self.dead.lock().unwrap())
    }

    async fn book_contested(&self, _: PlatformId, appid: &str, version: i64) -> Result<(), PortError> {
        self.with(&Holder::Merchant(appid.to_owned()), |row| row.contested.push(version));
        Ok(())
    }

    async fn book_odd(&self, _: PlatformId, appid: &str) -> Result<u64, PortError> {
        let mut odd = self.odd.lock().unwrap();
        odd.insert(appid.to_owned());
        Ok(odd.len() as u64)
    }

    async fn odd(&self, _: PlatformId, appid: &str) -> Result<bool, PortError> {
        Ok(self.odd.lock().unwrap().contains(appid))
    }

    async fn ticket(&self, _: PlatformId) -> Result<Option<(SecretString, Duration)>, PortError> {
        Ok(self.ticket.lock().unwrap().map(|ticket| (SecretString::from(ticket), Duration::from_secs(60))))
    }
}

/// Limits that are never reached.
pub(super) struct Plenty;

#[async_trait]
impl SliceSource for Plenty {
    async fn take_slice(&self, _: PlatformId, _: Endpoint, wanted: u32, _: Unused) -> Result<Slice, PortError> {
        Ok(Slice::Granted { count: wanted, wait: Duration::ZERO, interval: Duration::from_micros(10), good_for: None })
    }

    async fn count_in_shadow(&self, _: PlatformId, _: Endpoint, _: u32) -> Result<u64, PortError> {
        Ok(0)
    }
}

/// The wire against the script, with one merchant whose refresh token is stored, and a ticket.
pub(super) struct World {
    pub(super) script: Script,
    pub(super) vault: Arc<Vault>,
    pub(super) wire: Wire,
    pub(super) platform: Platform,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Duration::from_secs(10), HashMap::new()).await
    }

    pub(super) async fn with(total: Duration, limits: PaceConfig) -> Self {
        let script = Script::default();
        let answering = script.clone();
        let router =
            Router::new().fallback(post(move |uri: Uri, Query(query): Query<HashMap<String, String>>, body| {
                answering.clone().answer(uri, query, body)
            }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let vault = Arc::new(Vault::default());
        vault.merchant(|row| row.refresh_token = Some("fake-refresh-0".to_owned()));
        *vault.ticket.lock().unwrap() = Some("ticket@@@fake");
        let timeouts = Timeouts { connect: Duration::from_secs(3), total };
        let wechat = Wechat::new(base.parse().unwrap(), timeouts).unwrap();
        let wire = Wire::new(wechat, Arc::clone(&vault) as Arc<dyn TokenVault>, Arc::new(Plenty), limits);
        let platform = Platform {
            id: 1,
            component_appid: "wx9999999999999999".to_owned(),
            secret: Some(SecretString::from("fake-secret")),
        };
        Self { script, vault, wire, platform }
    }

    pub(super) async fn fresh(&self, stored: Option<StoredToken>) -> Result<StoredToken, CallError> {
        self.wire.tokens().fresh(&self.platform, APPID, stored).await
    }

    pub(super) async fn ask(&self, stored: Option<StoredToken>) -> Answer {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let request = Request::CheckMobile { push_tmpl: true };
        self.wire.call_with_token(&self.platform, APPID, stored, &request, deadline).await
    }
}
