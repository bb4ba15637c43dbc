//! Why a push is refused. Nothing of a refused push is stored.

/// Why a push is refused: a few words for the log and for whoever sent it, without anything that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is larger than [`super::BODY_BYTES_MAX`].
    #[error("the body is too large")]
    TooLarge,
    /// The body did not come in time.
    #[error("the body did not come in time")]
    TooSlow,
    /// Not what WeChat sends: no XML, a DTD, too deep, a field twice.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A field that must be there is not, or is empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that is there is not what it must be.
    #[error("{0} is not what it must be")]
    Odd(&'static str),
    /// No platform of this appid receives events here.
    #[error("the AppId is no platform that receives events here")]
    UnknownPlatform,
    /// Plain JSON, which nobody signed, and nobody said that it may be trusted.
    #[error("plain JSON is switched off")]
    PlainSwitchedOff,
    /// The signature does not fit: not from WeChat, or another token.
    #[error("the signature does not fit")]
    Forged,
    /// The time of the signature is too far from now.
    #[error("the timestamp is too far from now")]
    Stale,
    /// The ciphertext does not open: another key, or damage.
    #[error("the ciphertext does not open")]
    Undecipherable,
    /// The message is for another platform than its envelope says.
    #[error("the message is for another appid")]
    WrongAppid,
    /// This very push was received before.
    #[error("this push was received before")]
    Replayed,
}

impl Refusal {
    /// The HTTP status that says so, 400 to 499.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::Malformed(_) | Self::Missing(_) | Self::Odd(_) | Self::Undecipherable => 400,
            Self::UnknownPlatform | Self::PlainSwitchedOff | Self::Forged | Self::Stale | Self::WrongAppid => 403,
            Self::Replayed => 409,
        }
    }

    /// A stable word for the metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Malformed(_) => "malformed",
            Self::Missing(_) => "missing_field",
            Self::Odd(_) => "odd_field",
            Self::UnknownPlatform => "unknown_platform",
            Self::PlainSwitchedOff => "plain_json",
            Self::Forged => "forged",
            Self::Stale => "stale",
            Self::Undecipherable => "undecipherable",
            Self::WrongAppid => "wrong_appid",
            Self::Replayed => "replayed",
        }
    }
}
