//! The WeChat addresses that wxpatrol calls, each with its own limit.
//!
//! Source of the paths and permission sets: WeChat's open-platform documentation, "third-party platform" pages.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// One WeChat address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Endpoint {
    /// Whether a mini program has a phone bound; with `push_tmpl` it messages the administrator.
    #[strum(serialize = "checkmobile")]
    CheckMobile,
    /// The message-push configuration of a mini program.
    #[strum(serialize = "getcallbackconfig")]
    GetCallbackConfig,
    /// Sends a link invitation from an official account to a mini program.
    #[strum(serialize = "wxamplink")]
    WxampLink,
    /// Lists the links and pending invitations of one official account.
    #[strum(serialize = "wxamplinkget")]
    WxampLinkGet,
    /// Exchanges the verify ticket for the component token.
    ApiComponentToken,
    /// Exchanges a refresh token for an authorizer token.
    ApiAuthorizerToken,
    /// One page of the merchants that authorized the platform.
    ApiGetAuthorizerList,
    /// What is known about one merchant.
    ApiGetAuthorizerInfo,
    /// Exchanges the authorization code of an event for the merchant's tokens.
    ApiQueryAuth,
    /// Asks for the verify ticket to be pushed again.
    ApiStartPushTicket,
    /// What WeChat says about the limits of one address.
    #[strum(serialize = "quota_get")]
    QuotaGet,
}

/// Which token an endpoint wants in its query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// No token: the secret travels in the body.
    None,
    /// The platform's own token.
    Component,
    /// The token of the merchant that the call is made for.
    Authorizer,
}

impl Endpoint {
    /// Every endpoint, in the order of the documentation.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The stable name used in variables, logs, metrics and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The path on WeChat's host, with its leading slash.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::CheckMobile => "/tcb/checkmobile",
            Self::GetCallbackConfig => "/tcb/getcallbackconfig",
            Self::WxampLink => "/cgi-bin/wxopen/wxamplink",
            Self::WxampLinkGet => "/cgi-bin/wxopen/wxamplinkget",
            Self::ApiComponentToken => "/cgi-bin/component/api_component_token",
            Self::ApiAuthorizerToken => "/cgi-bin/component/api_authorizer_token",
            Self::ApiGetAuthorizerList => "/cgi-bin/component/api_get_authorizer_list",
            Self::ApiGetAuthorizerInfo => "/cgi-bin/component/api_get_authorizer_info",
            Self::ApiQueryAuth => "/cgi-bin/component/api_query_auth",
            Self::ApiStartPushTicket => "/cgi-bin/component/api_start_push_ticket",
            Self::QuotaGet => "/cgi-bin/openapi/quota/get",
        }
    }

    /// Which token the endpoint wants.
    #[must_use]
    pub const fn token_kind(self) -> TokenKind {
        match self {
            Self::CheckMobile | Self::GetCallbackConfig | Self::WxampLink | Self::WxampLinkGet | Self::QuotaGet => {
                TokenKind::Authorizer
            }
            Self::ApiComponentToken | Self::ApiStartPushTicket => TokenKind::None,
            Self::ApiAuthorizerToken | Self::ApiGetAuthorizerList | Self::ApiGetAuthorizerInfo | Self::ApiQueryAuth => {
                TokenKind::Component
            }
        }
    }

    /// The name of the query parameter that carries the token. The older documentation and every public client send
    /// `component_access_token` where the component token is meant; the newest pages say `access_token`.
    #[must_use]
    pub const fn token_parameter(self) -> &'static str {
        match self.token_kind() {
            TokenKind::Component => "component_access_token",
            TokenKind::None | TokenKind::Authorizer => "access_token",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn a_name_leads_back_to_its_endpoint() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.name().parse(), Ok(*endpoint));
        }
    }
}
