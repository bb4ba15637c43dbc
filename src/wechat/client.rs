//! The one HTTP client towards WeChat: a single call, with no retry and no pacing.
//!
//! A URL with a token is built here as the last thing before the call and never leaves; every error of reqwest is
//! stripped of its URL before it becomes a [`CallError`]. Besides this module only `tokens::service` holds reqwest, and
//! builds its client as this one does.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::body::{Body, bounded, parse, refusal};
use super::reply::{self, Reply};
use super::request::Request;
use crate::domain::{CallError, Endpoint};

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Connections kept open while idle: as many as there are calls in flight at most.
const IDLE_CONNECTIONS_MAX: usize = 512;
/// Shorter than the idle time of common front ends, so that we hang up first and no call meets a closed connection.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the start of the call to the last byte of the answer.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10) }
    }
}

/// What came of one call.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The reply, or why there is none.
    pub result: Result<Reply, CallError>,
    /// WeChat's request id, when it sent one.
    pub rid: Option<String>,
    /// How long the last call took; zero when none was made.
    pub latency: Duration,
}

/// The client could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The base URL is unusable.
    #[error("the base URL must be http or https, with a host and without query, fragment, user or password")]
    BaseUrl,
    /// TLS or the resolver could not be set up.
    #[error(
        "the HTTP client can not be set up: {0}; TLS needs this machine's certificates of authorities: install the package \
         ca-certificates, or set SSL_CERT_FILE"
    )]
    Setup(String),
}

/// The client. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Wechat {
    http: reqwest::Client,
    base: Url,
    timeouts: Timeouts,
}

impl Wechat {
    /// A client for a base URL such as `https://api.weixin.qq.com`. A host on the loopback is reached without the
    /// system's proxy.
    ///
    /// # Errors
    /// The base URL is unusable, or TLS or the resolver can not be set up.
    pub fn new(base: Url, timeouts: Timeouts) -> Result<Self, ClientError> {
        let plain = matches!(base.scheme(), "http" | "https")
            && base.query().is_none()
            && base.fragment().is_none()
            && base.username().is_empty()
            && base.password().is_none();
        if !plain || !base.has_host() {
            return Err(ClientError::BaseUrl);
        }
        let http = builder(&base, timeouts).build().map_err(|error| ClientError::Setup(chain(error)))?;
        Ok(Self { http, base, timeouts })
    }

    /// The time-outs in force.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Asks for the base address and nothing else, without any token, and answers the status of whatever answers. May be
    /// repeated.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn reachable(&self) -> Result<u16, CallError> {
        let answer = self.http.get(self.base.clone()).send().await;
        Ok(answer.map_err(|error| call_error(error, self.timeouts.total))?.status().as_u16())
    }

    /// Makes one call on behalf of a merchant. Not to be repeated blindly when
    /// [`Request::messages_a_person`] holds.
    pub async fn call(&self, token: &SecretString, request: &Request) -> Answer {
        self.call_within(token, request, self.timeouts.total).await
    }

    /// Like [`Self::call`], in at most `within` (never longer than the total time-out).
    pub async fn call_within(&self, token: &SecretString, request: &Request, within: Duration) -> Answer {
        let started = Instant::now();
        let (result, rid) = match self.post(request.endpoint(), Some(token), request.body(), within).await {
            Ok(bytes) => reply::read(request, &bytes),
            Err(error) => (Err(error), None),
        };
        Answer { result, rid, latency: started.elapsed() }
    }

    /// Makes one call of the platform's own and parses its answer.
    pub(super) async fn ask<T: Body>(
        &self,
        endpoint: Endpoint,
        token: Option<&SecretString>,
        body: &serde_json::Value,
        within: Duration,
    ) -> Result<T, CallError> {
        let bytes = self.post(endpoint, token, body.to_string().into_bytes(), within).await?;
        let answered: T = parse(&bytes)?;
        if refusal(endpoint, &answered).is_none() {
            return Ok(answered);
        }
        // A refusal is logged and stored, and its words may repeat what was asked: they are read once more without that.
        let answered: T = parse(&secrets_of(body).fold(bytes, without))?;
        match refusal(endpoint, &answered) {
            Some(error) => Err(error),
            None => Err(CallError::Unreadable("the errcode is no number".to_owned())),
        }
    }

    /// Posts a body and reads the answer, at most 1 MiB of it.
    async fn post(
        &self,
        endpoint: Endpoint,
        token: Option<&SecretString>,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let within = within.min(self.timeouts.total);
        let fault = |error: reqwest::Error| call_error(error, within);
        let mut response = self
            .http
            .post(self.url(endpoint, token))
            .header(CONTENT_TYPE, "application/json")
            .timeout(within)
            .body(body)
            .send()
            .await
            .map_err(fault)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(CallError::Status(status));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if bytes.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(CallError::Unreadable(format!("the body is larger than {BODY_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(match token {
            Some(token) => without(bytes, token.expose_secret()),
            None => bytes,
        })
    }

    /// The address with its token. What this returns must never be formatted.
    fn url(&self, endpoint: Endpoint, token: Option<&SecretString>) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{}", endpoint.path()));
        if let Some(token) = token {
            url.query_pairs_mut().append_pair(endpoint.token_parameter(), token.expose_secret());
        }
        url
    }
}

/// How every client of this program is made: no redirects, no referer, no repeats by itself; no proxy to the loopback.
pub(super) fn builder(address: &Url, timeouts: Timeouts) -> reqwest::ClientBuilder {
    let loopback = match address.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("wxpatrol/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_MAX);
    match (loopback, address.scheme()) {
        // No TLS is spoken then: a machine without certificates of authorities can rehearse.
        (true, "http") => builder.no_proxy().tls_certs_only([]),
        (true, _) => builder.no_proxy(),
        (false, _) => builder,
    }
}

/// What is secret in a body that is sent: fields named for it.
fn secrets_of(body: &serde_json::Value) -> impl Iterator<Item = &str> {
    let secret = |name: &String| ["secret", "ticket", "token"].iter().any(|kind| name.ends_with(kind));
    let fields = body.as_object().into_iter().flatten();
    fields.filter(move |(name, _)| secret(name)).filter_map(|(_, value)| value.as_str())
}

/// A body with a secret struck out, should WeChat's words ever repeat it: as it is, and as it stands in an address.
fn without(mut body: Vec<u8>, secret: &str) -> Vec<u8> {
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    for form in [secret, &encoded] {
        body = struck(body, form.as_bytes());
    }
    body
}

fn struck(body: Vec<u8>, part: &[u8]) -> Vec<u8> {
    let place = |rest: &[u8]| rest.windows(part.len()).position(|window| window == part);
    if part.is_empty() || place(&body).is_none() {
        return body;
    }
    let (mut kept, mut rest) = (Vec::with_capacity(body.len()), body.as_slice());
    while let Some(at) = place(rest) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

/// The failure by what is known about the request: not sent, perhaps arrived, broken.
fn call_error(error: reqwest::Error, within: Duration) -> CallError {
    let error = error.without_url();
    if error.is_connect() {
        CallError::NotConnected(chain(error))
    } else if error.is_timeout() {
        CallError::TimedOut(within)
    } else {
        CallError::Broken(chain(error))
    }
}

/// The error and its sources in one bounded line, without the URL.
pub(super) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    bounded(&text)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
