//! Tokens at a test's or an operator's word: as a refresh or a fetch would issue them, but counted as neither.

use serde::Serialize;

use super::gauge::hold;
use super::refusal::WorldError;
use super::world::World;

/// A merchant's access token, issued without a refresh.
#[derive(Clone, Serialize)]
pub struct LiveToken {
    /// The merchant.
    pub appid: String,
    /// The token. Made up, as everything here.
    pub access_token: String,
}

impl World {
    /// Issues an access token as a refresh would, without counting a refresh; returns it with its seconds to live.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn issue_live_token(&self, appid: &str) -> Result<(String, u64), WorldError> {
        let place = self.place(appid)?;
        let serial = self.issue(&mut self.merchant(place).access);
        Ok((self.traits(place).access_token(serial), self.plan.token_lifetime.as_secs()))
    }

    /// Issues a component token as `api_component_token` would, without counting a fetch; returns it with its seconds to
    /// live.
    pub fn issue_component_token(&self) -> (String, u64) {
        let serial = self.issue(&mut hold(&self.component));
        (self.component_token(serial), self.plan.token_lifetime.as_secs())
    }

    pub(super) fn component_token(&self, serial: u32) -> String {
        format!("{}-ct-{serial}", self.mark)
    }

    /// Issues access tokens to `count` merchants from `offset` on, in the order of [`World::merchants`]; fewer when there are
    /// no more. For worlds so large that a request for each would take minutes.
    #[must_use]
    pub fn issue_live_tokens(&self, offset: usize, count: usize) -> Vec<LiveToken> {
        let issue = |place| {
            let serial = self.issue(&mut self.merchant(place).access);
            LiveToken { appid: self.plan.appid(place), access_token: self.traits(place).access_token(serial) }
        };
        (0..self.plan.merchant_count()).skip(offset).take(count).map(issue).collect()
    }
}
