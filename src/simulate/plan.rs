//! What a simulated platform is made of before the first call: how many merchants of which kind, their deterministic
//! appids and traits, and the switches. Nothing here changes while the simulation runs.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;

const MINI_PROGRAMS_FROM: u64 = 0x1a00_0000_0000_0000;
const OFFICIAL_ACCOUNTS_FROM: u64 = 0x0a00_0000_0000_0000;

/// What a merchant of the simulated platform is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `checkmobile` and `getcallbackconfig` are for these.
    MiniProgram,
    /// `wxamplink` and `wxamplinkget` are for these.
    OfficialAccount,
}

/// How a simulated platform starts. In JSON durations are seconds (a fraction is allowed), and a field left out has its
/// default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// The platform's appid, asked of `api_component_token` and of every component call's body.
    pub component_appid: String,
    /// The platform's secret. The default is obviously fake.
    pub component_appsecret: String,
    /// The verify ticket that `api_component_token` accepts.
    pub verify_ticket: String,
    /// The token that signs pushes to the event URL. The default is obviously fake.
    pub event_token: String,
    /// The EncodingAESKey that seals them: 43 letters and digits. The default is obviously fake.
    pub event_aes_key: String,
    /// How many mini programs have authorized the platform.
    pub mini_programs: u32,
    /// How many official accounts have authorized the platform.
    pub official_accounts: u32,
    /// Two simulations with one seed and the same counts hold the same merchants.
    pub seed: u64,
    /// Share (0 to 1) of mini programs with no phone bound.
    pub phone_missing_share: f64,
    /// How long a component or authorizer token lives.
    #[serde(with = "seconds")]
    pub token_lifetime: Duration,
    /// How long the previous token lives on after a newer one was issued.
    #[serde(with = "seconds")]
    pub token_overlap: Duration,
    /// Slept before every answer.
    #[serde(with = "seconds")]
    pub latency: Duration,
    /// Calls per second by endpoint name, over the whole platform and any sliding second; beyond it the answer is 45011.
    /// An endpoint that is not listed has no limit.
    pub limits: BTreeMap<String, u32>,
    /// A fresh invitation is shown this often with status 12 before the official account's administrator agrees.
    pub approve_official_account_after_polls: u32,
    /// After that it is shown this often with status 2 before the mini program's administrator agrees.
    pub approve_mini_program_after_polls: u32,
    /// A deterministic few per cent of the merchants answer oddly.
    pub quirks: bool,
    /// `checkmobile` with `push_tmpl` answers -601026 when the administrator was asked less than 24 hours ago.
    pub throttle_asks: bool,
    /// Each refresh issues a new refresh token; the previous one then works for `token_overlap`.
    pub rotate_refresh_tokens: bool,
    /// Pushes are signed and dated by the real clock, whatever the simulated one was shifted by: for a receiver whose clock nobody
    /// shifts with it.
    pub pushes_by_real_clock: bool,
    /// Keep the arrival time of every call (4 bytes each).
    pub record_arrivals: bool,
    /// At most this many arrival times are kept for each endpoint; later calls are only counted.
    pub arrivals_max: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            component_appid: "wxfa4e000000000000".to_owned(),
            component_appsecret: "fake-component-appsecret".to_owned(),
            verify_ticket: "ticket@@@fake-verify-ticket".to_owned(),
            event_token: "fakeEventToken".to_owned(),
            event_aes_key: "fakeEncodingAESKeyOfTheSimulatedWeChat00000".to_owned(),
            mini_programs: 100,
            official_accounts: 10,
            seed: 1,
            phone_missing_share: 0.2,
            token_lifetime: Duration::from_secs(7200),
            token_overlap: Duration::from_secs(300),
            latency: Duration::ZERO,
            limits: BTreeMap::new(),
            approve_official_account_after_polls: 1,
            approve_mini_program_after_polls: 1,
            quirks: false,
            throttle_asks: false,
            rotate_refresh_tokens: false,
            pushes_by_real_clock: false,
            record_arrivals: true,
            arrivals_max: 20_000_000,
        }
    }
}

impl Plan {
    /// The same plan for another platform of the simulation, with an appid, secret, ticket, event keys and seed of its own; number 0
    /// is the plan itself. Its merchants have the appids of the first one's, and fates of their own.
    #[must_use]
    pub fn as_platform(self, number: u32) -> Self {
        if number == 0 {
            return self;
        }
        let appid = self.component_appid.strip_prefix("wx").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Self {
            component_appid: format!("wx{:016x}", appid.unwrap_or_default().wrapping_add(u64::from(number))),
            component_appsecret: format!("{}-{number}", self.component_appsecret),
            verify_ticket: format!("{}-{number}", self.verify_ticket),
            event_token: format!("{}{number}", self.event_token),
            // The last digits give way to the number, so that it stays a key.
            event_aes_key: format!("{:.38}{number:05}", self.event_aes_key),
            seed: self.seed.wrapping_add(u64::from(number)),
            ..self
        }
    }

    /// The appid of mini program `n` (from 0), the same in every simulation.
    #[must_use]
    pub fn mini_program(n: u32) -> String {
        format!("wx{:016x}", MINI_PROGRAMS_FROM + u64::from(n))
    }

    /// The appid of official account `n` (from 0), the same in every simulation.
    #[must_use]
    pub fn official_account(n: u32) -> String {
        format!("wx{:016x}", OFFICIAL_ACCOUNTS_FROM + u64::from(n))
    }

    /// Whether a simulation can hold it.
    pub(super) fn check(&self) -> io::Result<()> {
        if let Some(name) = self.limits.keys().find(|name| Endpoint::from_name(name).is_none()) {
            let names = Endpoint::ALL.map(Endpoint::name).join(" ");
            let message = format!("limit for the unknown endpoint {name}; known are: {names}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // It is told in whole seconds, and one that lives for none can not be used.
        if self.token_lifetime < Duration::from_secs(1) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a token lives for a second at least"));
        }
        if self.mini_programs.checked_add(self.official_accounts).is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the plan has more merchants than 32 bits count"));
        }
        Ok(())
    }

    /// Merchants stand in one row, mini programs first; this is the place of an appid in it.
    pub(super) fn place(&self, appid: &str) -> Option<u32> {
        let digits = appid.strip_prefix("wx")?;
        if digits.len() != 16 || digits.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let number = u64::from_str_radix(digits, 16).ok()?;
        let within =
            |from: u64, count: u32| number.checked_sub(from).and_then(|n| u32::try_from(n).ok()).filter(|n| *n < count);
        within(MINI_PROGRAMS_FROM, self.mini_programs)
            .or_else(|| within(OFFICIAL_ACCOUNTS_FROM, self.official_accounts).map(|n| n + self.mini_programs))
    }

    pub(super) fn kind(&self, place: u32) -> Kind {
        if place < self.mini_programs { Kind::MiniProgram } else { Kind::OfficialAccount }
    }

    pub(super) fn appid(&self, place: u32) -> String {
        match self.kind(place) {
            Kind::MiniProgram => Self::mini_program(place),
            Kind::OfficialAccount => Self::official_account(place - self.mini_programs),
        }
    }

    pub(super) fn merchant_count(&self) -> u32 {
        self.mini_programs + self.official_accounts
    }

    /// A number that depends on the seed, the place and what it is drawn for, and on nothing else.
    pub(super) fn draw(&self, place: u32, purpose: u64) -> u64 {
        let mut z = self
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(u64::from(place).wrapping_mul(0xd1b5_4a32_d192_ed03))
            .wrapping_add(purpose.wrapping_mul(0x8cb9_2ba7_2f3d_8dd7));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn phone_bound_at_start(&self, place: u32) -> bool {
        // 53 bits are what an f64 holds exactly.
        let drawn = (self.draw(place, 1) >> 11) as f64 / (1_u64 << 53) as f64;
        drawn >= self.phone_missing_share
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(value.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let secs = f64::deserialize(from)?;
        Duration::try_from_secs_f64(secs).map_err(D::Error::custom)
    }
}
