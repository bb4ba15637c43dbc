//! The rules for single values: text in, a type that cannot be wrong out, or the rule as half a sentence.
//!
//! Pure: no rule reads the environment, a file or a clock. The command line uses the same rules.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose};
use chrono::NaiveTime;
use chrono_tz::Tz;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};
use url::Url;

use super::{CALL_DEADLINE, Cap, LEASE_MIN, LogFormat, QuietHours};
use crate::domain::appid::appid;

/// A length of time such as `500ms`, `60s`, `10min`, `2h`, `24 h` or `7d`.
///
/// # Errors
///
/// The rule, when the text is no length of time.
pub fn duration(text: &str) -> Result<Duration, String> {
    let rule = || "must be a whole number with a unit: ms, s, min, h or d".to_owned();
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(rule)?;
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().map_err(|_| rule())?;
    let seconds = match unit.trim() {
        "ms" => return Ok(Duration::from_millis(count)),
        "s" | "sec" => 1,
        "min" | "m" => 60,
        "h" => 3_600,
        "d" | "day" | "days" => 86_400,
        _ => return Err(rule()),
    };
    // A century is far above every use, and keeps sums with instants from overflowing.
    const SECONDS_MAX: u64 = 100 * 365 * 86_400;
    count
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= SECONDS_MAX)
        .map(Duration::from_secs)
        .ok_or_else(|| "must be shorter than a century".to_owned())
}

/// A length of time with both bounds included.
/// Whole days, at least `min`, at most ten years.
pub(super) fn days(min: i32) -> impl Fn(&str) -> Result<i32, String> {
    move |text| {
        let secs = duration(text)?.as_secs();
        let days = i32::try_from(secs / 86_400).unwrap_or(i32::MAX);
        if secs % 86_400 != 0 || days < min || days > 3_650 {
            return Err(format!("must be whole days, at least {min}d and at most 3650d"));
        }
        Ok(days)
    }
}

pub(super) fn duration_within(
    min: (Duration, &'static str),
    max: (Duration, &'static str),
) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let value = duration(text)?;
        if value < min.0 || value > max.0 {
            return Err(format!("must be at least {} and at most {}", min.1, max.1));
        }
        Ok(value)
    }
}

/// A lease: the slowest call, and recording what it answered, must fit into what is left of it after a third.
pub(super) fn lease(text: &str) -> Result<Duration, String> {
    let (lease, longest) = (duration(text)?, Duration::from_secs(3_600));
    if lease < LEASE_MIN || lease > longest {
        let (least, slowest) = (LEASE_MIN.as_secs(), CALL_DEADLINE.as_secs());
        return Err(format!(
            "must be at least {least}s and at most 1h: the slowest call ({slowest}s) must fit into it, and what it answered be \
             recorded"
        ));
    }
    Ok(lease)
}

/// A whole number with both bounds included.
pub(super) fn number_within(min: u32, max: u32) -> impl Fn(&str) -> Result<u32, String> {
    move |text| match text.parse() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}

/// A number, or `unlimited`.
pub(super) fn cap(text: &str) -> Result<Cap, String> {
    if text == "unlimited" {
        return Ok(Cap::Unlimited);
    }
    text.parse().map(Cap::AtMost).map_err(|_| "must be a whole number (0: none are sent) or unlimited".to_owned())
}

/// `21:00-09:00`, or nothing for no quiet hours.
pub(super) fn quiet_hours(text: &str) -> Result<Option<QuietHours>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
    let both = text.split_once('-').and_then(|(from, until)| Some((time(from)?, time(until)?)));
    match both {
        Some((from, until)) if from != until => Ok(Some(QuietHours { from, until })),
        Some(_) => Err("must begin and end at different times; pausing a check silences the whole day".to_owned()),
        None => Err("must be two times of day with a hyphen between them, or empty for none".to_owned()),
    }
}

/// A time zone by its IANA name.
pub(super) fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "must be the IANA name of a time zone".to_owned())
}

/// An address to listen on.
pub(super) fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port".to_owned())
}

/// WeChat's address. Tokens are added to the query later, so it must have none, nor a user name or password.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let rule = "must be an http or https URL without user name, password, query or fragment";
    let url = Url::parse(text).map_err(|_| rule.to_owned())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.fragment().is_none() {
        Ok(url)
    } else {
        Err(rule.to_owned())
    }
}

/// The rule of `DATABASE_URL`; the database client reads the rest.
pub(super) fn postgres_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(url) = url else { return Err("must be a URL that begins with postgres:// or postgresql://".to_owned()) };
    // Such a sign in a password ends it: what follows would be taken for the database, and shown.
    let database = url.path().trim_start_matches('/');
    let torn = url.fragment().is_some()
        || database.contains(['/', '@'])
        || url.query().is_some_and(|query| query.contains('@') && !query.contains('='));
    if torn {
        return Err(
            "has signs in its password that a URL gives another meaning: write / ? # @ as %2F %3F %23 %40".to_owned()
        );
    }
    Ok(())
}

/// A secret or a ticket: one word.
///
/// # Errors
///
/// The rule, which never repeats the text.
pub fn secret_word(text: &SecretString) -> Result<(), String> {
    let text = text.expose_secret();
    if !text.is_empty() && text.len() <= 512 && text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("must be one word without white space".to_owned())
    }
}

/// A platform's secret: one word, and no appid, which a list that is piped in by mistake would hold.
///
/// # Errors
///
/// The rule, which never repeats the text.
pub fn platform_secret(text: &SecretString) -> Result<(), String> {
    secret_word(text)?;
    match appid(text.expose_secret()) {
        Ok(_) => Err("must be the AppSecret, and an appid was given".to_owned()),
        Err(_) => Ok(()),
    }
}

/// The token of an authorization event URL, as WeChat's console takes it.
///
/// # Errors
///
/// The rule, which never repeats the text.
pub fn event_token(text: &SecretString) -> Result<(), String> {
    let text = text.expose_secret();
    if (3..=32).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err("must be 3 to 32 letters or digits".to_owned())
    }
}

/// The EncodingAESKey of an authorization event URL: 32 bytes in base64 without the sign at its end.
///
/// # Errors
///
/// The rule, which never repeats the text.
pub fn event_key(text: &SecretString) -> Result<(), String> {
    let text = text.expose_secret();
    let base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    if text.len() == 43 && text.chars().all(base64) {
        Ok(())
    } else {
        Err("must be the EncodingAESKey of 43 letters and digits".to_owned())
    }
}

/// 32 bytes in base64, padded or not.
pub(super) fn encryption_key(text: &SecretString) -> Result<SecretBox<[u8; 32]>, String> {
    let engine = general_purpose::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        general_purpose::PAD.with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let rule = "must be 32 bytes in base64".to_owned();
    // The buffer is erased when it is dropped; it has room for what the longest accepted text can decode to.
    let mut decoded = SecretBox::<[u8; 36]>::new(Box::new([0; 36]));
    let length = engine.decode_slice(text.expose_secret(), decoded.expose_secret_mut()).map_err(|_| rule.clone())?;
    if length != 32 {
        return Err(rule);
    }
    Ok(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(&decoded.expose_secret()[..32])))
}

/// `auto`, `text` or `json`.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be auto (text on a terminal, JSON elsewhere), text or json".to_owned()),
    }
}

/// A log filter in the syntax of tracing: levels by target.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|_| "must be a log filter: levels, or target=level, with commas between them".to_owned())
}
