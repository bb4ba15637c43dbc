//! The limits of every endpoint, for the platform as a whole and for each merchant.

use std::collections::HashMap;

use super::reader::Reader;
use crate::domain::{Endpoint, Limit};

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitSetting {
    /// Nothing is held back.
    Unlimited,
    /// At most this much.
    Limited(Limit),
}

impl LimitSetting {
    /// The limit, `None` when there is none.
    #[must_use]
    pub fn limit(self) -> Option<Limit> {
        match self {
            Self::Unlimited => None,
            Self::Limited(limit) => Some(limit),
        }
    }
}

/// The limits that are in force.
#[derive(Debug, Clone)]
pub struct Limits {
    platform: HashMap<Endpoint, LimitSetting>,
    merchant: HashMap<Endpoint, LimitSetting>,
}

impl Limits {
    /// What all processes together may call on one platform's endpoint.
    #[must_use]
    pub fn platform(&self, endpoint: Endpoint) -> LimitSetting {
        self.platform.get(&endpoint).copied().unwrap_or(LimitSetting::Unlimited)
    }

    /// What may be called for one merchant on the endpoint.
    #[must_use]
    pub fn merchant(&self, endpoint: Endpoint) -> LimitSetting {
        self.merchant.get(&endpoint).copied().unwrap_or(LimitSetting::Unlimited)
    }

    pub(super) fn read<L: Fn(&str) -> Option<String>>(reader: &mut Reader<L>) -> Self {
        let mut limits = Self { platform: HashMap::new(), merchant: HashMap::new() };
        for &endpoint in Endpoint::ALL {
            let defaults = defaults(endpoint);
            let name = format!("WXPATROL_LIMIT_{}", endpoint.name().to_uppercase());
            let platform = if defaults.variable {
                let meaning =
                    format!("calls to {endpoint} of the platform, all processes together", endpoint = endpoint.name());
                reader.or_default(&name, defaults.platform, &meaning, setting)
            } else {
                setting(defaults.platform).expect("the defaults are limits")
            };
            limits.platform.insert(endpoint, platform);
            if let Some(default) = defaults.merchant {
                let meaning = format!("calls to {} for one merchant", endpoint.name());
                let merchant = reader.or_default(&format!("{name}_MERCHANT"), default, &meaning, setting);
                limits.merchant.insert(endpoint, merchant);
            }
        }
        limits
    }
}

struct Defaults {
    platform: &'static str,
    /// `None`: calls to this endpoint are not limited merchant by merchant, and there is no variable for it.
    merchant: Option<&'static str>,
    /// Whether operators may change the platform's limit. The rare calls of the platform itself are not worth a knob.
    variable: bool,
}

const fn defaults(endpoint: Endpoint) -> Defaults {
    let (platform, merchant, variable) = match endpoint {
        Endpoint::CheckMobile | Endpoint::GetCallbackConfig | Endpoint::WxampLinkGet => ("5/s", Some("1/s"), true),
        Endpoint::WxampLink => ("1/s", Some("1/min"), true),
        Endpoint::ApiAuthorizerToken => ("10/s", None, true),
        Endpoint::ApiGetAuthorizerInfo => ("5/s", None, true),
        Endpoint::ApiGetAuthorizerList => ("1/s", None, true),
        Endpoint::ApiComponentToken => ("30/min", None, false),
        Endpoint::ApiStartPushTicket => ("1/min", None, false),
        Endpoint::QuotaGet => ("1/s", None, false),
    };
    Defaults { platform, merchant, variable }
}

fn setting(text: &str) -> Result<LimitSetting, String> {
    if text == "unlimited" {
        return Ok(LimitSetting::Unlimited);
    }
    text.parse()
        .map(LimitSetting::Limited)
        .map_err(|_| "must be unlimited, or a count and a unit: 200/s, 300/min, 10000/day, 200/s burst 20".to_owned())
}
