//! The addresses that the simulated WeChat knows, each with its name and whose token it wants.

use serde::{Deserialize, Serialize};

use super::plan::Kind;

/// One address of the simulated WeChat. In JSON and in [`super::Plan::limits`] it goes by [`Endpoint::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Endpoint {
    /// `POST /tcb/checkmobile`
    Checkmobile,
    /// `POST /tcb/getcallbackconfig`
    Getcallbackconfig,
    /// `POST /cgi-bin/wxopen/wxamplink`
    Wxamplink,
    /// `POST /cgi-bin/wxopen/wxamplinkget`
    Wxamplinkget,
    /// `POST /cgi-bin/component/api_component_token`
    ApiComponentToken,
    /// `POST /cgi-bin/component/api_start_push_ticket`
    ApiStartPushTicket,
    /// `POST /cgi-bin/component/api_authorizer_token`
    ApiAuthorizerToken,
    /// `POST /cgi-bin/component/api_get_authorizer_list`
    ApiGetAuthorizerList,
    /// `POST /cgi-bin/component/api_get_authorizer_info`
    ApiGetAuthorizerInfo,
    /// `POST /cgi-bin/openapi/quota/get`
    QuotaGet,
    /// `POST /cgi-bin/component/api_query_auth`
    ApiQueryAuth,
}

/// Whose token an endpoint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Nothing,
    Component,
    Account(Kind),
    Any,
}

impl Endpoint {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 11] = [
        Self::Checkmobile,
        Self::Getcallbackconfig,
        Self::Wxamplink,
        Self::Wxamplinkget,
        Self::ApiComponentToken,
        Self::ApiStartPushTicket,
        Self::ApiAuthorizerToken,
        Self::ApiGetAuthorizerList,
        Self::ApiGetAuthorizerInfo,
        Self::QuotaGet,
        Self::ApiQueryAuth,
    ];

    /// The name under which limits, scripts and the read-out know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkmobile => "checkmobile",
            Self::Getcallbackconfig => "getcallbackconfig",
            Self::Wxamplink => "wxamplink",
            Self::Wxamplinkget => "wxamplinkget",
            Self::ApiComponentToken => "api_component_token",
            Self::ApiStartPushTicket => "api_start_push_ticket",
            Self::ApiAuthorizerToken => "api_authorizer_token",
            Self::ApiGetAuthorizerList => "api_get_authorizer_list",
            Self::ApiGetAuthorizerInfo => "api_get_authorizer_info",
            Self::QuotaGet => "quota_get",
            Self::ApiQueryAuth => "api_query_auth",
        }
    }

    /// The path, which starts with a slash.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Checkmobile => "/tcb/checkmobile",
            Self::Getcallbackconfig => "/tcb/getcallbackconfig",
            Self::Wxamplink => "/cgi-bin/wxopen/wxamplink",
            Self::Wxamplinkget => "/cgi-bin/wxopen/wxamplinkget",
            Self::ApiComponentToken => "/cgi-bin/component/api_component_token",
            Self::ApiStartPushTicket => "/cgi-bin/component/api_start_push_ticket",
            Self::ApiAuthorizerToken => "/cgi-bin/component/api_authorizer_token",
            Self::ApiGetAuthorizerList => "/cgi-bin/component/api_get_authorizer_list",
            Self::ApiGetAuthorizerInfo => "/cgi-bin/component/api_get_authorizer_info",
            Self::QuotaGet => "/cgi-bin/openapi/quota/get",
            Self::ApiQueryAuth => "/cgi-bin/component/api_query_auth",
        }
    }

    /// The endpoint of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }

    pub(super) fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    pub(super) fn wants(self) -> Wants {
        match self {
            Self::Checkmobile | Self::Getcallbackconfig => Wants::Account(Kind::MiniProgram),
            Self::Wxamplink | Self::Wxamplinkget => Wants::Account(Kind::OfficialAccount),
            Self::ApiComponentToken | Self::ApiStartPushTicket => Wants::Nothing,
            Self::ApiAuthorizerToken | Self::ApiGetAuthorizerList | Self::ApiGetAuthorizerInfo | Self::ApiQueryAuth => {
                Wants::Component
            }
            Self::QuotaGet => Wants::Any,
        }
    }

    /// The permission sets of which a merchant must have granted one; empty when none is asked.
    pub(super) fn permission_sets(self) -> &'static [u16] {
        match self {
            Self::Checkmobile | Self::Getcallbackconfig => &[49, 64],
            Self::Wxamplink | Self::Wxamplinkget => &[33],
            Self::ApiComponentToken
            | Self::ApiStartPushTicket
            | Self::ApiAuthorizerToken
            | Self::ApiGetAuthorizerList
            | Self::ApiGetAuthorizerInfo
            | Self::QuotaGet
            | Self::ApiQueryAuth => &[],
        }
    }

    pub(super) fn bit(self) -> u16 {
        1 << (self as u8)
    }
}
