//! What a test, a benchmark or an operator reads out of a running simulation.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::gauge::{self, EndpointCounts, hold};
use super::link::{Ask, Invitation};
use super::merchant::MerchantCard;
use super::plan::Kind;
use super::refusal::WorldError;
use super::world::World;

/// The summary under `GET /_sim/readout`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readout {
    /// By endpoint name; all endpoints are there.
    pub endpoints: BTreeMap<String, EndpointCounts>,
    /// How many merchants the simulation holds, withdrawn ones included.
    pub merchants: u32,
    /// How many have taken their authorization back.
    pub withdrawn: usize,
    /// Messages sent to administrators who should bind a phone.
    pub asks: usize,
    /// The most messages that one administrator got.
    pub asks_of_one_merchant_max: usize,
    /// Invitations sent.
    pub invitations: usize,
    /// The most invitations that one pair got.
    pub invitations_of_one_pair_max: usize,
    /// Component tokens issued.
    pub component_token_fetches: u64,
    /// Authorizer tokens issued to `api_authorizer_token`.
    pub refreshes: u64,
    /// The most calls in flight at any instant.
    pub concurrent_calls_max: usize,
    /// How often a redirect was followed. It should be never.
    pub redirects_followed: u64,
}

impl World {
    /// All merchants, mini programs first.
    #[must_use]
    pub fn merchants(&self) -> Vec<MerchantCard> {
        self.merchants_from(0, usize::MAX)
    }

    /// At most `count` merchants after the first `offset`.
    #[must_use]
    pub fn merchants_from(&self, offset: usize, count: usize) -> Vec<MerchantCard> {
        let last = offset.saturating_add(count).min(self.merchants.len());
        (offset.min(last)..last)
            .filter_map(|place| u32::try_from(place).ok())
            .map(|place| self.merchant(place).card(&self.traits(place)))
            .collect()
    }

    /// Calls that have arrived, whatever became of them. Cheap, so that a test can wait on it.
    #[must_use]
    pub fn arrived(&self, endpoint: Endpoint) -> u64 {
        self.gauge(endpoint).arrived()
    }

    /// The counts of one endpoint. Goes through all arrival times kept.
    #[must_use]
    pub fn counts(&self, endpoint: Endpoint) -> EndpointCounts {
        self.gauge(endpoint).counts()
    }

    /// Arrival times in order, as real microseconds since the start.
    #[must_use]
    pub fn arrivals(&self, endpoint: Endpoint) -> Vec<u64> {
        self.gauge(endpoint).arrivals()
    }

    /// The most arrivals in any sliding window of this length.
    #[must_use]
    pub fn worst_window(&self, endpoint: Endpoint, window: Duration) -> usize {
        gauge::worst_window(&self.arrivals(endpoint), window)
    }

    /// Arrivals per second between the first and the last one, as a share of `per_second`; `None` when fewer than two
    /// arrived.
    #[must_use]
    pub fn used_share(&self, endpoint: Endpoint, per_second: f64) -> Option<f64> {
        let arrivals = self.arrivals(endpoint);
        gauge::used_share(&arrivals, arrivals.len() as u64, per_second)
    }

    /// All asks, by merchant and then by time.
    #[must_use]
    pub fn asks(&self) -> Vec<Ask> {
        let mut asks = Vec::new();
        for place in 0..self.plan.mini_programs {
            let merchant = self.merchant(place);
            asks.extend(
                merchant.asks.iter().map(|at_micros| Ask { appid: self.plan.appid(place), at_micros: *at_micros }),
            );
        }
        asks
    }

    /// All invitations that went out, in order.
    #[must_use]
    pub fn invitations(&self) -> Vec<Invitation> {
        hold(&self.invitations).clone()
    }

    /// Status numbers of an official account's listed pairs, by mini program, without counting as a poll.
    ///
    /// # Errors
    /// When there is no such official account.
    pub fn links(&self, official_account: &str) -> Result<BTreeMap<String, u32>, WorldError> {
        let place = self.place_of(official_account, Kind::OfficialAccount)?;
        let merchant = self.merchant(place);
        let links = merchant
            .links
            .iter()
            .flat_map(|links| links.statuses())
            .map(|(mini_program, status)| (self.plan.appid(mini_program), status))
            .collect();
        Ok(links)
    }

    /// How often each merchant's access token was refreshed; those with none are left out.
    #[must_use]
    pub fn refreshes(&self) -> BTreeMap<String, u32> {
        (0..self.plan.merchant_count())
            .map(|place| (place, self.merchant(place).refreshes))
            .filter(|(_, refreshes)| *refreshes > 0)
            .map(|(place, refreshes)| (self.plan.appid(place), refreshes))
            .collect()
    }

    /// How often a component token was issued.
    #[must_use]
    pub fn component_token_fetches(&self) -> u64 {
        self.component_fetches.load(Ordering::Relaxed)
    }

    /// Appids of the merchants for which this endpoint has answered errcode 0 (or none) in a readable way.
    #[must_use]
    pub fn answered_well(&self, endpoint: Endpoint) -> Vec<String> {
        (0..self.plan.merchant_count())
            .filter(|place| self.merchant(*place).answered_well & endpoint.bit() != 0)
            .map(|place| self.plan.appid(place))
            .collect()
    }

    /// The most calls in flight at any instant.
    #[must_use]
    pub fn concurrent_calls_max(&self) -> usize {
        self.in_flight_max.load(Ordering::Relaxed)
    }

    /// Everything in numbers.
    #[must_use]
    pub fn readout(&self) -> Readout {
        let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let invitations = self.invitations();
        for invitation in &invitations {
            *pairs.entry((&invitation.official_account, &invitation.mini_program)).or_default() += 1;
        }
        let mut asks = 0;
        let mut asks_of_one_merchant_max = 0;
        let mut refreshes = 0;
        for merchant in &self.merchants {
            let merchant = hold(merchant);
            asks += merchant.asks.len();
            asks_of_one_merchant_max = asks_of_one_merchant_max.max(merchant.asks.len());
            refreshes += u64::from(merchant.refreshes);
        }
        Readout {
            endpoints: Endpoint::ALL.map(|endpoint| (endpoint.name().to_owned(), self.counts(endpoint))).into(),
            merchants: self.plan.merchant_count(),
            withdrawn: self.withdrawn.read().unwrap_or_else(std::sync::PoisonError::into_inner).len(),
            asks,
            asks_of_one_merchant_max,
            invitations: invitations.len(),
            invitations_of_one_pair_max: pairs.into_values().max().unwrap_or(0),
            component_token_fetches: self.component_token_fetches(),
            refreshes,
            concurrent_calls_max: self.concurrent_calls_max(),
            redirects_followed: self.redirects_followed.load(Ordering::Relaxed),
        }
    }
}
