//! Where tokens come from when another system keeps them. An address and a query may hold a key, so their text is in no
//! setting and in no fault.

use secrecy::{ExposeSecret, SecretString};

use super::reader::{Reader, Source};
use crate::{
    store::foreign::TokenQuerySettings,
    wechat::{TokenServiceSettings, TokenTemplate},
};

const URL: &str = "WXPATROL_TOKEN_URL";
const SQL: &str = "WXPATROL_TOKEN_SQL";
const COMPONENT_URL: &str = "WXPATROL_COMPONENT_TOKEN_URL";
const COMPONENT_SQL: &str = "WXPATROL_COMPONENT_TOKEN_SQL";
const BEARER: &str = "WXPATROL_TOKEN_BEARER";

const URL_EXAMPLE: &str = "http://tokens.internal/{component_appid}/{appid}";
const COMPONENT_URL_EXAMPLE: &str = "http://tokens.internal/{component_appid}";
const SQL_EXAMPLE: &str = "select access_token, expires_at from tokens where component_appid = $1 and appid = $2";
const COMPONENT_SQL_EXAMPLE: &str = "select access_token, expires_at from component_tokens where component_appid = $1";

/// The existing platform that is asked for tokens. With it wxpatrol refreshes nothing.
#[derive(Debug, Clone)]
pub enum TokenSourceSettings {
    /// Over HTTP.
    Url(TokenServiceSettings),
    /// Through a query on the same Postgres.
    Sql(TokenQuerySettings),
}

impl TokenSourceSettings {
    /// The variable that names it.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        match self {
            Self::Url(_) => URL,
            Self::Sql(_) => SQL,
        }
    }

    /// Whether it gives the platform's own token as well.
    #[must_use]
    pub const fn knows_the_platform(&self) -> bool {
        match self {
            Self::Url(service) => service.component.is_some(),
            Self::Sql(queries) => queries.component.is_some(),
        }
    }
}

/// Whether a source is named, well or badly.
pub(super) fn named<L: Fn(&str) -> Option<String>>(r: &Reader<L>) -> bool {
    [URL, SQL].into_iter().any(|name| r.text(name).is_some())
}

/// Reads the source; `None`: wxpatrol keeps the tokens itself.
pub(super) fn token_source<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>) -> Option<TokenSourceSettings> {
    let url = template(r, URL, URL_EXAMPLE, true, "where another system hands out a merchant's token");
    let component_url =
        template(r, COMPONENT_URL, COMPONENT_URL_EXAMPLE, false, "where it hands out the platform's own token");
    let sql = query(r, SQL, "a query that gives a merchant's token, kept by another system");
    let component_sql = query(r, COMPONENT_SQL, "a query that gives the platform's own token");
    let bearer = bearer(r);
    let merchants = "JSON pointer to a merchant's token in the answer";
    let pointer = r.or_default("WXPATROL_TOKEN_POINTER", "/access_token", merchants, json_pointer);
    let platforms = "JSON pointer to the platform's own token in the answer";
    let component_pointer = r.or_default("WXPATROL_COMPONENT_TOKEN_POINTER", "/access_token", platforms, json_pointer);
    let ends = "JSON pointer to a token's end: seconds from now, a Unix time, or RFC 3339";
    let expiry_pointer = r.or_default("WXPATROL_TOKEN_EXPIRY_POINTER", "/expires_in", ends, json_pointer);

    let given = |r: &Reader<L>, name: &str| r.text(name).is_some();
    if given(r, URL) && given(r, SQL) {
        let rule = format!("must not be set together with {URL}: the tokens come from one place, keep one of them");
        r.fault(SQL, None, rule, None);
    }
    for (name, needs, example) in [(COMPONENT_URL, URL, URL_EXAMPLE), (COMPONENT_SQL, SQL, SQL_EXAMPLE)] {
        if given(r, name) && !given(r, needs) {
            r.fault(needs, None, format!("must be set when {name} is"), Some(format!("{needs}={example}")));
        }
    }
    if bearer.is_some() && !given(r, URL) {
        r.fault(URL, None, format!("must be set when {BEARER} is"), Some(format!("{URL}={URL_EXAMPLE}")));
    }
    if given(r, URL) || given(r, SQL) {
        refuse_own(r, if given(r, URL) { URL } else { SQL });
    }
    match (url, sql) {
        (Some(merchant), _) => Some(TokenSourceSettings::Url(TokenServiceSettings {
            merchant,
            component: component_url,
            bearer,
            pointer,
            component_pointer,
            expiry_pointer,
        })),
        (None, Some(merchant)) => {
            Some(TokenSourceSettings::Sql(TokenQuerySettings { merchant, component: component_sql }))
        }
        (None, None) => None,
    }
}

/// A second refresher takes the first one's tokens away, so whoever names a source must not give us what refreshes.
fn refuse_own<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>, source: &str) {
    let own = ["WXPATROL_COMPONENT_APPSECRET", "WXPATROL_VERIFY_TICKET"];
    let own = own.into_iter().flat_map(|name| [name.to_owned(), format!("{name}_FILE")]);
    let given: Vec<String> = own.filter(|name| r.text(name).is_some()).collect();
    if !given.is_empty() {
        let rule = format!(
            "must not be set together with {}: either another system keeps the tokens or wxpatrol does, because two \
             refreshers take each other's tokens away; unset one side",
            given.join(" and ")
        );
        r.fault(source, None, rule, None);
    }
}

fn template<L: Fn(&str) -> Option<String>>(
    r: &mut Reader<L>,
    name: &str,
    example: &str,
    of_merchants: bool,
    meaning: &str,
) -> Option<TokenTemplate> {
    let text = remembered(r, name, meaning)?;
    match TokenTemplate::parse(&text, of_merchants) {
        Ok(template) => Some(template),
        Err(rule) => {
            r.fault(name, None, rule, Some(format!("{name}={example}")));
            None
        }
    }
}

fn query<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>, name: &str, meaning: &str) -> Option<SecretString> {
    let text = remembered(r, name, meaning)?;
    let merchant = name == SQL;
    let bare = bare(&text);
    let parameter = if merchant { "$2" } else { "$1" };
    let example = if merchant { SQL_EXAMPLE } else { COMPONENT_SQL_EXAMPLE };
    if !bare.contains(parameter) {
        let rule = if merchant {
            "must hold $2, the merchant's appid ($1 is the component's)"
        } else {
            "must hold $1, the component's appid"
        };
        r.fault(name, None, rule, Some(format!("{name}={example}")));
        return None;
    }
    Some(SecretString::from(bare.to_owned()))
}

/// A query without the semicolon at its end.
pub(super) fn bare(text: &str) -> &str {
    text.trim_end_matches(|letter: char| letter == ';' || letter.is_whitespace())
}

/// A text that may hold a key: of it only `set` is shown.
pub(super) fn remembered<L: Fn(&str) -> Option<String>>(
    r: &mut Reader<L>,
    name: &str,
    meaning: &str,
) -> Option<String> {
    let text = r.text(name);
    let (shown, source) = if text.is_some() { ("set", Source::Environment) } else { ("not set", Source::Default) };
    r.remember(name, shown, source, meaning);
    text
}

fn bearer<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>) -> Option<SecretString> {
    let given = r.secret(BEARER, "the secret sent to WXPATROL_TOKEN_URL as `Authorization: Bearer`")?;
    if given.secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(given.secret);
    }
    r.fault(&given.variable, None, "must be one line of letters, digits and signs without spaces", None);
    None
}

fn json_pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("must be a JSON pointer, which begins with /".to_owned())
    }
}
