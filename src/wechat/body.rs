//! Reads WeChat's bodies as they come: numbers as strings, invalid UTF-8, control characters inside strings.
//!
//! A plain body is parsed once, straight from its bytes; only one that strict JSON refuses is repaired and parsed again.
//! No reader here fails for the type of a field: an odd field is [`Scalar::Other`], so that it never hides an errcode.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::domain::Class;
use crate::domain::{CallError, Endpoint, errcode};

/// The longest foreign text that is kept.
const TEXT_CHARS_MAX: usize = 200;

/// A JSON value where one plain value is expected.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Scalar {
    /// Not there, or null.
    #[default]
    Absent,
    Integer(i64),
    Text(String),
    Switch(bool),
    /// An object, a list, or a number that is no 64-bit integer.
    Other,
}

/// The integer that a number with a point (`48001.0`) is, up to where such numbers name each.
fn whole(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the bounds")]
    (number.fract() == 0.0 && number.abs() < EXACT_MAX).then_some(number as i64)
}

impl Scalar {
    /// The integer, also when it is written as a string.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Absent | Self::Switch(_) | Self::Other => None,
        }
    }

    /// The switch, also when it is written as 0, 1 or a string.
    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Switch(on) => Some(*on),
            Self::Integer(0) => Some(false),
            Self::Integer(1) => Some(true),
            Self::Text(text) => match text.trim() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Self::Absent | Self::Integer(_) | Self::Other => None,
        }
    }

    /// The text, when there is one that is not empty.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            Self::Absent | Self::Integer(_) | Self::Text(_) | Self::Switch(_) | Self::Other => None,
        }
    }

    /// The plain value of a parsed one.
    pub(super) fn of(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Absent,
            Some(Value::Bool(on)) => Self::Switch(*on),
            Some(Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| number.as_f64().and_then(whole));
                whole.map_or(Self::Other, Self::Integer)
            }
            Some(Value::String(text)) => Self::Text(text.clone()),
            Some(Value::Array(_) | Value::Object(_)) => Self::Other,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Scalar, E> {
                Ok(Scalar::Switch(on))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Integer(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Integer))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(whole(number).map_or(Scalar::Other, Scalar::Integer))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::Absent)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Scalar, A::Error> {
                while entries.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Scalar, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A body with WeChat's own two fields.
pub(super) trait Body: DeserializeOwned {
    /// `errcode` and `errmsg`.
    fn head(&self) -> (&Scalar, &Scalar);

    /// Whether a field of a success is there, for the answers that carry no errcode.
    fn any_content(&self) -> bool;
}

/// Parses a body. The reason for a refusal holds nothing of the body, which may hold tokens.
pub(super) fn parse<T: Body>(bytes: &[u8]) -> Result<T, CallError> {
    let unreadable = |reason: &str| CallError::Unreadable(reason.to_owned());
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(unreadable("the body is empty")),
        Some(b'{') => {}
        Some(b'<') => return Err(unreadable("the body is HTML or XML")),
        Some(_) => return Err(unreadable("the body is no JSON object")),
    }
    let strict = serde_json::from_slice::<T>(bytes);
    let body = match strict {
        Ok(body) => body,
        Err(error) if error.is_eof() => return Err(unreadable("the body is cut off")),
        Err(_) => serde_json::from_str::<T>(&repair(bytes)).map_err(|error| {
            // Only the place: serde's text can quote the value.
            CallError::Unreadable(format!(
                "the body is no valid JSON (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?,
    };
    let (errcode, errmsg) = body.head();
    match errcode {
        Scalar::Absent if *errmsg == Scalar::Absent && !body.any_content() => {
            Err(unreadable("the body holds no known field"))
        }
        Scalar::Absent => Ok(body),
        Scalar::Integer(_) | Scalar::Text(_) | Scalar::Switch(_) | Scalar::Other => {
            errcode.integer().map(|_| ()).ok_or_else(|| unreadable("the errcode is no number"))?;
            Ok(body)
        }
    }
}

/// The refusal that a body holds, `None` when it is a success.
pub(super) fn refusal<T: Body>(endpoint: Endpoint, body: &T) -> Option<CallError> {
    let (errcode, _) = body.head();
    let errcode = errcode.integer().filter(|code| *code != 0)?;
    let class = errcode::classify(endpoint, errcode);
    debug_assert!(class != Class::Ok, "only 0 is ok");
    let errmsg = errmsg(body);
    Some(CallError::Refused { errcode, class, rid: rid(&errmsg), errmsg: bounded(&errmsg) })
}

/// WeChat's request id, when the errmsg carries one.
pub(super) fn rid_of<T: Body>(body: &T) -> Option<String> {
    rid(&errmsg(body))
}

fn errmsg<T: Body>(body: &T) -> String {
    match body.head().1 {
        Scalar::Text(text) => text.clone(),
        Scalar::Absent | Scalar::Integer(_) | Scalar::Switch(_) | Scalar::Other => String::new(),
    }
}

/// `rid: xxxxxxxx-xxxxxxxx-xxxxxxxx` in an errmsg.
fn rid(errmsg: &str) -> Option<String> {
    let (_, rest) = errmsg.rsplit_once("rid:")?;
    let id: String =
        rest.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    (!id.is_empty()).then_some(id)
}

/// Foreign text without control characters, cut after 200 characters.
pub(super) fn bounded(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(TEXT_CHARS_MAX).collect::<String>().trim().to_owned()
}

/// Valid UTF-8 with every control character inside a string escaped and dropped outside, and with the replacement
/// character for half a surrogate pair: names that were cut in the middle of an emoji hold one.
fn repair(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut repaired = String::with_capacity(text.len() + 16);
    let mut quoted = false;
    let mut rest = &*text;
    while let Some(c) = rest.chars().next() {
        let mut len = c.len_utf8();
        match c {
            '\\' if quoted => {
                len = escape(rest, &mut repaired);
            }
            '\0'..='\u{1f}' if quoted => repaired.push_str(&format!("\\u{:04x}", u32::from(c))),
            '\t' | '\n' | '\r' => repaired.push(c),
            '\0'..='\u{1f}' => {}
            _ => {
                quoted ^= c == '"';
                repaired.push(c);
            }
        }
        rest = &rest[len..];
    }
    repaired
}

/// Copies the escape at the beginning of a text, mended; how many bytes of the text it took.
fn escape(text: &str, repaired: &mut String) -> usize {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    match (unit(0), unit(6)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
            repaired.push_str(&text[..12]);
            12
        }
        (Some(0xd800..=0xdfff), _) => {
            repaired.push('\u{fffd}');
            6
        }
        (Some(_), _) => {
            repaired.push_str(&text[..6]);
            6
        }
        (None, _) => match text[1..].chars().next() {
            Some(escaped @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {
                repaired.push('\\');
                repaired.push(escaped);
                2
            }
            // No escape of JSON: the backslash stands for itself.
            Some(_) | None => {
                repaired.push_str("\\\\");
                1
            }
        },
    }
}
