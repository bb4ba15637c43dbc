//! What `openapi/quota/get` says of a merchant's endpoint when a test or an operator gives the figures.

use std::collections::HashMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::endpoint::Endpoint;
use super::gauge::hold;
use super::refusal::WorldError;
use super::world::World;

/// The figures of one merchant's endpoint; what is absent is left out of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedQuota {
    /// Calls a day, and how many of them are used.
    pub day: Option<(u64, u64)>,
    /// `rate_limit`: calls in so many seconds.
    pub rate: Option<(u64, u64)>,
    /// `component_rate_limit`: calls in so many seconds.
    pub component_rate: Option<(u64, u64)>,
}

/// Figures by merchant and endpoint.
pub(super) type Quotas = Mutex<HashMap<(u32, Endpoint), ScriptedQuota>>;

impl ScriptedQuota {
    pub(super) fn answer(self) -> String {
        let mut body = json!({"errcode": 0, "errmsg": "ok"});
        if let Some((limit, used)) = self.day {
            body["quota"] = json!({"daily_limit": limit, "used": used, "remain": limit.saturating_sub(used)});
        }
        for (name, rate) in [("rate_limit", self.rate), ("component_rate_limit", self.component_rate)] {
            if let Some((calls, seconds)) = rate {
                body[name] = json!({"call_count": calls, "refresh_second": seconds});
            }
        }
        body.to_string()
    }
}

impl World {
    /// What `openapi/quota/get` says of this merchant's endpoint from now on; `None`: what is counted here.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn set_quota(&self, appid: &str, endpoint: Endpoint, quota: Option<ScriptedQuota>) -> Result<(), WorldError> {
        let place = self.plan.place(appid).ok_or_else(|| WorldError::UnknownMerchant(appid.to_owned()))?;
        let mut quotas = hold(&self.script.quotas);
        match quota {
            Some(quota) => quotas.insert((place, endpoint), quota),
            None => quotas.remove(&(place, endpoint)),
        };
        Ok(())
    }
}
