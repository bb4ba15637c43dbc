//! What WeChat pushes to the platform's event URL: verify tickets, and merchants that authorize or withdraw.

use chrono::{DateTime, Utc};
use secrecy::SecretString;

/// One event as WeChat tells it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The platform that it is for.
    pub component_appid: String,
    /// WeChat's CreateTime, in whole seconds: the order of events, which need not arrive in it.
    pub created_at: DateTime<Utc>,
    /// What happened.
    pub news: News,
}

/// What an event tells.
#[derive(Debug, Clone)]
pub enum News {
    /// A new component_verify_ticket.
    Ticket(SecretString),
    /// A merchant authorized the platform, or changed what it grants.
    Authorized(Authorized),
    /// A merchant took its authorization back.
    Unauthorized {
        /// The merchant.
        appid: String,
    },
    /// Something that wxpatrol has no use for, such as a fast registration. It is answered well and forgotten.
    Other {
        /// WeChat's name for it.
        info_type: String,
    },
}

/// A merchant that authorized the platform.
#[derive(Debug, Clone)]
pub struct Authorized {
    /// The merchant.
    pub appid: String,
    /// Whether it was authorized before and changed what it grants.
    pub update: bool,
    /// What `api_query_auth` exchanges for tokens. A secret, good once and for a short time.
    pub code: SecretString,
    /// When the code dies; `None`: WeChat did not say.
    pub code_expires_at: Option<DateTime<Utc>>,
}

impl News {
    /// WeChat's name of the event.
    #[must_use]
    pub fn info_type(&self) -> &str {
        match self {
            Self::Ticket(_) => "component_verify_ticket",
            Self::Authorized(Authorized { update: false, .. }) => "authorized",
            Self::Authorized(Authorized { update: true, .. }) => "updateauthorized",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Other { info_type } => info_type,
        }
    }

    /// The merchant that it is about; `None`: the platform itself, or not known.
    #[must_use]
    pub fn merchant(&self) -> Option<&str> {
        match self {
            Self::Authorized(Authorized { appid, .. }) | Self::Unauthorized { appid } => Some(appid),
            Self::Ticket(_) | Self::Other { .. } => None,
        }
    }
}
