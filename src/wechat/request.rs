//! What is asked on behalf of a merchant: one variant for each endpoint that wants an authorizer token.

use serde_json::json;

use crate::domain::Endpoint;

/// A question to WeChat, made with a merchant's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Whether a phone is bound.
    CheckMobile {
        /// Message the administrator when none is. Every such call may message a person.
        push_tmpl: bool,
    },
    /// The message-push configuration.
    GetCallbackConfig,
    /// Send a link invitation from the official account whose token is used.
    WxampLink {
        /// The appid of the mini program to link.
        mini_program: String,
        /// Message all followers of the official account.
        notify_users: bool,
        /// Show the mini program on the official account's profile.
        show_profile: bool,
    },
    /// The links and pending invitations of the official account whose token is used.
    WxampLinkGet,
    /// What WeChat says about the limits of one address of this account.
    QuotaGet {
        /// The endpoint asked about.
        about: Endpoint,
    },
}

impl Request {
    /// Where the request goes.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        match self {
            Self::CheckMobile { .. } => Endpoint::CheckMobile,
            Self::GetCallbackConfig => Endpoint::GetCallbackConfig,
            Self::WxampLink { .. } => Endpoint::WxampLink,
            Self::WxampLinkGet => Endpoint::WxampLinkGet,
            Self::QuotaGet { .. } => Endpoint::QuotaGet,
        }
    }

    /// Whether the call may message a person, so that it needs an intent.
    #[must_use]
    pub const fn messages_a_person(&self) -> bool {
        match self {
            Self::CheckMobile { push_tmpl } => *push_tmpl,
            Self::WxampLink { .. } => true,
            Self::GetCallbackConfig | Self::WxampLinkGet | Self::QuotaGet { .. } => false,
        }
    }

    /// The JSON body. The switches of an invitation are numbers, as the documentation's tables say (its example and
    /// some clients send strings).
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        match self {
            Self::CheckMobile { push_tmpl } => json!({ "push_tmpl": push_tmpl }),
            Self::GetCallbackConfig | Self::WxampLinkGet => json!({}),
            Self::WxampLink { mini_program, notify_users, show_profile } => json!({
                "appid": mini_program,
                "notify_users": u8::from(*notify_users),
                "show_profile": u8::from(*show_profile),
            }),
            Self::QuotaGet { about } => json!({ "cgi_path": about.path() }),
        }
        .to_string()
        .into_bytes()
    }
}
