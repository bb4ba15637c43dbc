//! From bytes to an event: the envelope, what signs it, and the message inside. Pure: keys and the time are handed in.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::{cipher, fields::Fields, keys::EventKeys, refusal::Refusal};
use crate::{
    config,
    domain::event::{Authorized, Event, News},
};

/// How far the timestamp of a signature, and the CreateTime of a future event, may be from now. As long as WeChat leaves
/// between two tickets: an honest push that is older was overtaken by the next one, clocks of two well-kept machines are
/// closer, and what must be remembered against replays stays small. It bounds the delivery, not the event: an event
/// that WeChat tells late, with a fresh signature, is taken and put in order by its CreateTime.
pub const WINDOW: TimeDelta = TimeDelta::minutes(10);

/// The longest ticket or code that is kept.
const SECRET_BYTES_MAX: usize = 1_024;
/// The longest name of an event that is shown.
const NAME_CHARS_MAX: usize = 64;

/// A push, as far as it can be read without keys.
pub enum Envelope {
    /// As WeChat encrypts it. Nothing in it is proven yet.
    Sealed {
        /// The platform that it names.
        component_appid: String,
        /// The ciphertext in base64.
        encrypt: String,
    },
    /// Plain JSON, as platforms get it that WeChat's own cloud hosts. Nobody signed it.
    Plain {
        /// The platform that it names.
        component_appid: String,
        /// The body.
        message: Vec<u8>,
    },
}

/// An event that may be believed.
#[derive(Debug)]
pub struct Received {
    /// The event.
    pub event: Event,
    /// What tells this push from every other, so that it is taken once; `None`: plain JSON has nothing of the kind.
    pub mark: Option<String>,
}

impl std::fmt::Debug for Envelope {
    /// Without what is inside: plain JSON holds tickets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope").field("component_appid", &self.component_appid()).finish_non_exhaustive()
    }
}

impl Envelope {
    /// Reads a body of at most [`super::BODY_BYTES_MAX`].
    ///
    /// # Errors
    /// It is not what WeChat sends.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() > super::BODY_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let plain = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let fields = if plain { Fields::of_json(body)? } else { Fields::of_xml(body)? };
        let component_appid = fields.required("AppId")?.to_owned();
        if plain {
            return Ok(Self::Plain { component_appid, message: body.to_vec() });
        }
        Ok(Self::Sealed { component_appid, encrypt: fields.required("Encrypt")?.to_owned() })
    }

    /// The platform that the push names. Not proven.
    #[must_use]
    pub fn component_appid(&self) -> &str {
        let (Self::Sealed { component_appid, .. } | Self::Plain { component_appid, .. }) = self;
        component_appid
    }

    /// Proves and opens the push: the signature in its query, its time, its ciphertext, and that all of it is about one
    /// platform. `plain_allowed`: whether plain JSON may be believed.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn open(
        &self,
        query: &str,
        keys: Option<&EventKeys>,
        plain_allowed: bool,
        now: DateTime<Utc>,
    ) -> Result<Received, Refusal> {
        match self {
            Self::Plain { .. } if !plain_allowed => Err(Refusal::PlainSwitchedOff),
            Self::Plain { component_appid, message } => {
                Ok(Received { event: event(&Fields::of_json(message)?, component_appid, now)?, mark: None })
            }
            Self::Sealed { component_appid, encrypt } => {
                let keys = keys.ok_or(Refusal::UnknownPlatform)?;
                let signed = Signed::read(query)?;
                if !signed.fits(keys, encrypt) {
                    return Err(Refusal::Forged);
                }
                if (signed.at()? - now).abs() > WINDOW {
                    return Err(Refusal::Stale);
                }
                let opened = cipher::open(&keys.key, encrypt)?;
                if opened.appid != component_appid.as_bytes() {
                    return Err(Refusal::WrongAppid);
                }
                let event = event(&Fields::of_xml(&opened.message)?, component_appid, now)?;
                Ok(Received { event, mark: Some(signed.msg_signature) })
            }
        }
    }
}

/// The query of an encrypted push.
struct Signed {
    timestamp: String,
    nonce: String,
    msg_signature: String,
}

impl Signed {
    fn read(query: &str) -> Result<Self, Refusal> {
        let parameter = |name: &'static str| {
            let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) if !value.is_empty() => Ok(value.into_owned()),
                (_, None) => Err(Refusal::Missing(name)),
                (_, Some(_)) => Err(Refusal::Odd(name)),
            }
        };
        match parameter("encrypt_type") {
            Ok(kind) if kind != "aes" => return Err(Refusal::Odd("encrypt_type")),
            Ok(_) | Err(_) => {}
        }
        Ok(Self {
            timestamp: parameter("timestamp")?,
            nonce: parameter("nonce")?,
            msg_signature: parameter("msg_signature")?,
        })
    }

    fn fits(&self, keys: &EventKeys, encrypt: &str) -> bool {
        let token = keys.token.expose_secret();
        cipher::signature_fits(&self.msg_signature, token, &self.timestamp, &self.nonce, encrypt)
    }

    fn at(&self) -> Result<DateTime<Utc>, Refusal> {
        self.timestamp.parse().ok().and_then(instant).ok_or(Refusal::Odd("timestamp"))
    }
}

/// Seconds since 1970 as an instant, within bounds in which sums do not overflow.
fn instant(secs: i64) -> Option<DateTime<Utc>> {
    const YEAR_3000: i64 = 32_503_680_000;
    (1..YEAR_3000).contains(&secs).then(|| DateTime::from_timestamp(secs, 0)).flatten()
}

fn event(fields: &Fields, component_appid: &str, now: DateTime<Utc>) -> Result<Event, Refusal> {
    if fields.required("AppId")? != component_appid {
        return Err(Refusal::WrongAppid);
    }
    let created_at = instant(fields.number("CreateTime")?).ok_or(Refusal::Odd("CreateTime"))?;
    // One event from far ahead would make every honest one after it an old one.
    if created_at - now > WINDOW {
        return Err(Refusal::Stale);
    }
    let news = match fields.required("InfoType")? {
        "component_verify_ticket" => News::Ticket(secret(fields, "ComponentVerifyTicket")?),
        kind @ ("authorized" | "updateauthorized") => News::Authorized(Authorized {
            appid: merchant(fields)?,
            update: kind == "updateauthorized",
            code: secret(fields, "AuthorizationCode")?,
            code_expires_at: expiry(fields, created_at),
        }),
        "unauthorized" => News::Unauthorized { appid: merchant(fields)? },
        other => {
            let plain = other.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX);
            News::Other { info_type: plain.collect() }
        }
    };
    Ok(Event { component_appid: component_appid.to_owned(), created_at, news })
}

fn merchant(fields: &Fields) -> Result<String, Refusal> {
    const NAME: &str = "AuthorizerAppid";
    config::appid(fields.required(NAME)?).map_err(|_| Refusal::Odd(NAME))
}

fn secret(fields: &Fields, name: &'static str) -> Result<SecretString, Refusal> {
    let text = fields.required(name)?;
    let plain = text.len() <= SECRET_BYTES_MAX && text.chars().all(|letter| letter.is_ascii_graphic());
    if plain { Ok(text.to_owned().into()) } else { Err(Refusal::Odd(name)) }
}

/// When a code dies. It only says how long it is worth trying, so an odd value is no reason to refuse the event.
fn expiry(fields: &Fields, created_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    /// Below this a number is a length of time: no instant of this century is.
    const LENGTH_SECS_MAX: i64 = 1_000_000_000;
    match fields.number("AuthorizationCodeExpiredTime").ok()? {
        secs @ 1..LENGTH_SECS_MAX => Some(created_at + TimeDelta::seconds(secs)),
        secs => instant(secs),
    }
}

#[cfg(test)]
mod tests;
