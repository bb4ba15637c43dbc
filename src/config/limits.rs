//! The limits of every endpoint, for the platform as a whole and for each merchant.

use std::{collections::HashMap, fmt};

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

impl fmt::Display for LimitSetting {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str(UNLIMITED),
            Self::Limited(limit) => limit.fmt(f),
        }
    }
}

/// The limits that are in force.
#[derive(Debug, Clone)]
pub struct Limits {
    platform: HashMap<Endpoint, LimitSetting>,
    merchant: HashMap<Endpoint, LimitSetting>,
    learn: bool,
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

    /// Whether WeChat is asked about its limits, and a limit that is set too high is tightened by its answers.
    #[must_use]
    pub fn learn(&self) -> bool {
        self.learn
    }

    /// The same with one of them replaced: that of each merchant, or that of the platform as a whole.
    #[must_use]
    pub fn with(mut self, endpoint: Endpoint, per_merchant: bool, setting: LimitSetting) -> Self {
        let limits = if per_merchant { &mut self.merchant } else { &mut self.platform };
        limits.insert(endpoint, setting);
        self
    }

    pub(super) fn read<L: Fn(&str) -> Option<String>>(reader: &mut Reader<L>) -> Self {
        let learn = reader.or_default(
            "WXPATROL_LEARN_LIMITS",
            "on",
            "on: WeChat is asked about its limits for a few merchants a day, and its answers tighten limits that are set too high",
            |text| match text {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err("must be on or off".to_owned()),
            },
        );
        let mut limits = Self { platform: HashMap::new(), merchant: HashMap::new(), learn };
        for &endpoint in Endpoint::ALL {
            let defaults = defaults(endpoint);
            let name = format!("WXPATROL_LIMIT_{}", endpoint.name().to_uppercase());
            let platform = if defaults.variable {
                let meaning = format!(
                    "calls to {} of each platform without its own limit, all processes together",
                    endpoint.name()
                );
                reader.or_default(&name, defaults.platform, &meaning, limit)
            } else {
                limit(defaults.platform).expect("the defaults are limits")
            };
            limits.platform.insert(endpoint, platform);
            if let Some(default) = defaults.merchant {
                let meaning = format!("calls to {} for one merchant", endpoint.name());
                let merchant = reader.or_default(&format!("{name}_MERCHANT"), default, &meaning, merchant_limit);
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
        Endpoint::ApiQueryAuth => ("10/s", None, false),
        // Once an hour at most, which is kept elsewhere: here it only must not be in anybody's way.
        Endpoint::ApiStartPushTicket => ("1/s", None, false),
        Endpoint::QuotaGet => ("1/s", None, false),
    };
    Defaults { platform, merchant, variable }
}

const UNLIMITED: &str = "unlimited";

/// A limit as the variables `WXPATROL_LIMIT_...` are written.
///
/// # Errors
///
/// The rule, when the text is no limit.
pub fn limit(text: &str) -> Result<LimitSetting, String> {
    if text == UNLIMITED {
        return Ok(LimitSetting::Unlimited);
    }
    text.parse().map(LimitSetting::Limited).map_err(|_| {
        "must be unlimited, or a count above zero and a unit: 200/s, 300/min, 10000/day, 200/s burst 20, or a rate and a \
         count a day (5/s, 10000/day); the word shadow after it counts and holds nothing back"
            .to_owned()
    })
}

/// A merchant's limit is kept by spacing that merchant's own calls: nothing counts them, so there is no shadow.
///
/// # Errors
///
/// The rule, when the text is no limit of a merchant.
pub fn merchant_limit(text: &str) -> Result<LimitSetting, String> {
    match limit(text)? {
        LimitSetting::Limited(limit) if limit.shadow() => {
            Err("must not be in shadow: only a limit of the whole platform can be counted without being enforced"
                .to_owned())
        }
        setting => Ok(setting),
    }
}

/// What a limit is set for, as `checkmobile`, or `checkmobile_merchant` for that of each merchant: the names of the
/// variables without `WXPATROL_LIMIT_`.
///
/// # Errors
///
/// The rule with every name, when there is no such limit to be set.
pub fn limit_name(text: &str) -> Result<(Endpoint, bool), String> {
    let settable = Endpoint::ALL.iter().filter(|endpoint| defaults(**endpoint).variable);
    let names = settable.flat_map(|endpoint| {
        let merchant =
            defaults(*endpoint).merchant.map(|_| (format!("{}_merchant", endpoint.name()), (*endpoint, true)));
        std::iter::once((endpoint.name().to_owned(), (*endpoint, false))).chain(merchant)
    });
    let names: Vec<(String, (Endpoint, bool))> = names.collect();
    let lowered = text.to_lowercase();
    names.iter().find(|(name, _)| *name == lowered).map(|(_, meant)| *meant).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        format!("must be the limit of one of {}", names.join(", "))
    })
}
