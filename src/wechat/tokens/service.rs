//! An existing platform's tokens over HTTP: one `GET` for each, and where in its JSON they stand.
//!
//! The address may hold a key in its query and the answer holds a token, so neither is ever part of an error or of a
//! debug form; errors of reqwest are stripped of their address. Redirects are not followed: they would take the bearer
//! secret elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::super::client::{self, ClientError, Timeouts};
use super::expiry;
use crate::domain::ports::{ForeignToken, Holder, SourceFault, TokenSource};

/// The largest answer that is read.
const BODY_BYTES_MAX: usize = 64 << 10;
/// WeChat's tokens are below 512 characters.
const TOKEN_CHARS_MAX: usize = 4096;
/// How long the source may take.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(3), total: Duration::from_secs(5) };

const COMPONENT: &str = "{component_appid}";
const MERCHANT: &str = "{appid}";

/// An address with places for appids. Its debug form shows nothing: there may be a key in it.
#[derive(Clone)]
pub struct TokenTemplate(SecretString);

impl TokenTemplate {
    /// Reads a template; `{component_appid}` and, for the tokens of merchants, `{appid}` stand for appids.
    ///
    /// # Errors
    /// The rule that the text breaks, as half a sentence that repeats nothing of it.
    pub fn parse(text: &str, of_merchants: bool) -> Result<Self, String> {
        if of_merchants && !text.contains(MERCHANT) {
            return Err("must hold {appid}, which stands for the merchant".to_owned());
        }
        let template = Self(SecretString::from(text.to_owned()));
        let filled = template.filled("wxcomponent", "wxmerchant");
        if filled.contains(['{', '}']) {
            return Err("must hold no braces but {component_appid} and {appid}".to_owned());
        }
        let url = Url::parse(&filled).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or("must be an http or https URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must hold no user name or password: set WXPATROL_TOKEN_BEARER".to_owned());
        }
        if url.fragment().is_some() {
            return Err("must hold no fragment (#)".to_owned());
        }
        Ok(template)
    }

    /// The address for one holder. What this returns must never be formatted.
    fn filled(&self, component_appid: &str, appid: &str) -> String {
        self.0.expose_secret().replace(COMPONENT, &encoded(component_appid)).replace(MERCHANT, &encoded(appid))
    }
}

impl std::fmt::Debug for TokenTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenTemplate(***)")
    }
}

/// Percent-encodes all but letters, digits, `-` and `_`.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// How to ask, and where the answer has what.
#[derive(Debug, Clone)]
pub struct TokenServiceSettings {
    /// The address for a merchant's token.
    pub merchant: TokenTemplate,
    /// The address for the platform's own token, when it can be had.
    pub component: Option<TokenTemplate>,
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<SecretString>,
    /// JSON pointer to a merchant's token.
    pub pointer: String,
    /// JSON pointer to the platform's own token.
    pub component_pointer: String,
    /// JSON pointer to the end of either.
    pub expiry_pointer: String,
}

/// An HTTP source of tokens. Clones share their connections.
#[derive(Debug, Clone)]
pub struct TokenService {
    http: reqwest::Client,
    settings: TokenServiceSettings,
}

impl TokenService {
    /// A source with these settings; nothing is asked yet. A host on the loopback is reached without the system's proxy.
    ///
    /// # Errors
    /// TLS can not be set up, or the bearer secret has characters that no header may hold.
    pub fn new(settings: TokenServiceSettings) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(bearer) = &settings.bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {}", bearer.expose_secret())).map_err(|_| {
                ClientError::Setup("the bearer secret has characters that no header may hold".to_owned())
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let address = Url::parse(&settings.merchant.filled("wx", "wx")).map_err(|_| ClientError::BaseUrl)?;
        let builder = client::builder(&address, TIMEOUTS).default_headers(headers);
        let http = builder.build().map_err(|error| ClientError::Setup(client::chain(error)))?;
        Ok(Self { http, settings })
    }

    /// Asks once; `None`: the source knows none.
    async fn ask(
        &self,
        template: &TokenTemplate,
        component_appid: &str,
        appid: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        // Dots alone would walk up the path.
        if [component_appid, appid].iter().any(|text| text.bytes().all(|byte| byte == b'.')) {
            return Ok(None);
        }
        let fault = |error: reqwest::Error| said(error);
        let url = template.filled(component_appid, appid);
        let mut response = self.http.get(url).send().await.map_err(fault)?;
        match response.status().as_u16() {
            200 => {}
            204 | 404 => return Ok(None),
            code @ (401 | 403) => return Err(format!("refuses us (HTTP status {code}): check WXPATROL_TOKEN_BEARER")),
            code @ 300..=399 => {
                return Err(format!(
                    "answers with a redirect (HTTP status {code}), which is not followed: name the address that it leads to"
                ));
            }
            code => return Err(format!("answers HTTP status {code}")),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if bytes.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(format!("answers with more than {BODY_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    fn read(&self, bytes: &[u8], pointer: &str) -> Result<Option<ForeignToken>, String> {
        let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let answer: Value = serde_json::from_slice(bytes).map_err(|_| match start {
            None => "answers with an empty body".to_owned(),
            Some(b'<') => "answers with a page instead of JSON".to_owned(),
            Some(_) => "answers with something that is no JSON".to_owned(),
        })?;
        let token = match answer.pointer(pointer) {
            Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.trim(),
            Some(_) | None => return Err(format!("has no text at {pointer} of its answer")),
        };
        if token.is_empty() {
            return Ok(None);
        }
        if token.len() > TOKEN_CHARS_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("has something at {pointer} of its answer that is no token"));
        }
        let expiry = &self.settings.expiry_pointer;
        let good_for = expiry::good_for(answer.pointer(expiry), Utc::now())
            .map_err(|()| format!("has something at {expiry} of its answer that is neither seconds nor an instant"))?;
        Ok(Some(ForeignToken { access_token: SecretString::from(token.to_owned()), good_for }))
    }
}

#[async_trait]
impl TokenSource for TokenService {
    async fn token(&self, component_appid: &str, holder: &Holder) -> Result<Option<ForeignToken>, SourceFault> {
        let settings = &self.settings;
        let (template, appid, pointer) = match (holder, &settings.component) {
            (Holder::Merchant(appid), _) => (&settings.merchant, appid.as_str(), &settings.pointer),
            (Holder::Component, Some(template)) => (template, component_appid, &settings.component_pointer),
            (Holder::Component, None) => return Ok(None),
        };
        let answer = match self.ask(template, component_appid, appid).await {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => self.read(&bytes, pointer),
            Err(fault) => Err(fault),
        };
        answer.map_err(|fault| SourceFault(format!("the external token source {fault}")))
    }

    fn knows_the_platform(&self) -> bool {
        self.settings.component.is_some()
    }
}

/// What went wrong on the way; `chain` leaves the address out.
fn said(error: reqwest::Error) -> String {
    if error.is_timeout() {
        format!("did not answer within {} s", TIMEOUTS.total.as_secs())
    } else if error.is_connect() {
        format!("can not be reached: {}", client::chain(error))
    } else {
        format!("broke the connection: {}", client::chain(error))
    }
}
