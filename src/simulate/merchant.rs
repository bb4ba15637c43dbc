//! One merchant of the simulated platform: what it is (derived from the plan, never stored) and what has become of it.
//!
//! The tokens of a merchant are numbered; a token string carries its appid and number, so that looking one up needs no
//! map and an issued token needs no memory but its two newest expiries.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::link::Links;
use super::plan::{Kind, Plan};

/// What [`super::World::merchants`] tells of a merchant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerchantCard {
    /// The appid, made from the merchant's number.
    pub appid: String,
    /// Mini program or official account.
    pub kind: Kind,
    /// About one in forty holds Chinese, emoji, control characters or NUL.
    pub nick_name: String,
    /// The legal entity; two merchants can share one.
    pub principal_name: String,
    /// The original id (`gh_...`).
    pub user_name: String,
    /// The refresh token that `api_authorizer_token` accepts now.
    pub refresh_token: String,
    /// The permission sets granted.
    pub permission_sets: Vec<u16>,
    /// 1 normal, 14 cancelled, 16 banned, 18 warned, 19 frozen.
    pub account_status: u8,
    /// Always true for an official account.
    pub phone_bound: bool,
    /// The merchant has taken its authorization back.
    pub withdrawn: bool,
    /// Times, in microseconds of the simulated clock since the start, at which the administrator was messaged.
    pub asks: Vec<u64>,
    /// How often its access token was refreshed.
    pub refreshes: u32,
}

/// A numbered token, as far as the simulator remembers it.
#[derive(Clone, Copy, Default)]
pub(super) struct Numbered {
    /// The newest number; 0: none was issued.
    pub serial: u32,
    expires_at: u64,
    previous_expires_at: u64,
    epoch: u32,
}

/// Why a numbered token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// 42001.
    Expired,
    /// 40001.
    Replaced,
    /// 40014.
    NeverIssued,
}

impl Numbered {
    /// What was issued so far lives no longer.
    pub(super) fn void(&mut self) {
        (self.expires_at, self.previous_expires_at) = (0, 0);
    }

    /// The number of the next token, which is valid from now on; the previous one keeps at most `overlap`.
    pub(super) fn issue(&mut self, now: u64, lifetime: u64, overlap: u64, epoch: u32) -> u32 {
        let overlapping = if self.epoch == epoch { now.saturating_add(overlap) } else { 0 };
        self.previous_expires_at = self.expires_at.min(overlapping);
        self.serial += 1;
        self.expires_at = now.saturating_add(lifetime);
        self.epoch = epoch;
        self.serial
    }

    pub(super) fn check(&self, serial: u32, now: u64, epoch: u32) -> Result<(), Stale> {
        if serial == 0 || serial > self.serial {
            Err(Stale::NeverIssued)
        } else if serial < self.serial {
            let overlapping = serial + 1 == self.serial && now < self.previous_expires_at && self.epoch == epoch;
            if overlapping { Ok(()) } else { Err(Stale::Replaced) }
        } else if self.epoch != epoch || now >= self.expires_at {
            Err(Stale::Expired)
        } else {
            Ok(())
        }
    }
}

/// What has become of a merchant since the start.
#[derive(Default)]
pub(super) struct Merchant {
    pub access: Numbered,
    pub refresh_serial: u32,
    /// When it authorized last, in seconds since 1970; `None`: as the plan has it.
    pub authorized_at: Option<i64>,
    pub refresh_previous_until: u64,
    pub refresh_hidden: bool,
    pub refreshes: u32,
    /// The newest authorization code, and until when it is good; 0: it was used, or there is none.
    pub code_serial: u32,
    pub code_until: u64,
    /// The account has no API rights: `api_query_auth` gives no tokens for it.
    pub no_api_rights: bool,
    pub withdrawn: bool,
    pub phone_bound: bool,
    /// 0: as the plan has it.
    pub account_status: u8,
    pub permission_sets: Option<Box<[u16]>>,
    pub callback_revision: u32,
    pub callback_calls: u32,
    pub callback: Option<Box<Callback>>,
    pub asks: Vec<u64>,
    /// Bits of the endpoints that were called under quirks, those of calls that message somebody, and those that answered well.
    pub called: u16,
    pub called_to_message: u16,
    pub answered_well: u16,
    pub links: Option<Box<Links>>,
}

/// What a test has put in the place of the plan's callback configuration.
pub(super) enum Callback {
    /// The `data` object.
    Scripted(Value),
    /// -601034.
    NotOpened,
}

/// The traits of the merchant at a place, all derived from the plan.
pub(super) struct Traits<'a> {
    pub plan: &'a Plan,
    pub place: u32,
    pub mark: Mark,
}

/// What tells the tokens of one platform of a simulation from those of another. The first one's have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(pub u32);

impl Mark {
    /// The platform of a token, and the token without what says so.
    pub(super) fn read(token: &str) -> Option<(Self, &str)> {
        let rest = token.strip_prefix("sim")?;
        let (number, rest) = rest.split_once('-')?;
        let number = if number.is_empty() { 0 } else { number.parse().ok()? };
        Some((Self(number), rest))
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { f.write_str("sim") } else { write!(f, "sim{}", self.0) }
    }
}

impl Traits<'_> {
    pub(super) fn nick_name(&self) -> String {
        let place = self.place;
        let drawn = self.plan.draw(place, 3);
        match drawn % 160 {
            0 => format!("小店{place}号"),
            1 => format!("Shop 🧋 {place} 👩‍👩‍👧"),
            2 => format!("Tab\there\u{8}{place}\u{1f}"),
            3 => format!("Nul\u{0}{place}"),
            _ => match self.plan.kind(place) {
                Kind::MiniProgram => format!("Demo mini program {place}"),
                Kind::OfficialAccount => format!("Demo account {place}"),
            },
        }
    }

    pub(super) fn user_name(&self) -> String {
        format!("gh_{:012x}", self.plan.draw(self.place, 4) & 0xffff_ffff_ffff)
    }

    pub(super) fn principal_name(&self) -> String {
        let entities = u64::from(self.plan.merchant_count() / 3 + 1);
        format!("示例{}有限公司", self.plan.draw(self.place, 5) % entities)
    }

    pub(super) fn permission_sets(&self) -> &'static [u16] {
        let lacking = self.plan.quirks && self.plan.draw(self.place, 7).is_multiple_of(33);
        match (self.plan.kind(self.place), lacking) {
            (Kind::MiniProgram, false) => &[17, 18, 30, 49],
            (Kind::OfficialAccount, false) => &[1, 11, 33],
            (Kind::MiniProgram, true) => &[17, 18, 30],
            (Kind::OfficialAccount, true) => &[1, 11],
        }
    }

    pub(super) fn account_status(&self) -> u8 {
        match self.plan.draw(self.place, 8) % 500 {
            _ if !self.plan.quirks => 1,
            0 => 14,
            1 => 16,
            2 | 3 => 18,
            4 | 5 => 19,
            _ => 1,
        }
    }

    pub(super) fn auth_time(&self) -> i64 {
        1_700_000_000 + i64::from(self.place)
    }

    pub(super) fn refresh_token(&self, serial: u32) -> String {
        format!("refreshtoken@@@{}-rt-{}-{serial}", self.mark, self.plan.appid(self.place))
    }

    pub(super) fn access_token(&self, serial: u32) -> String {
        format!("{}-at-{}-{serial}", self.mark, self.plan.appid(self.place))
    }
}

impl Merchant {
    pub(super) fn at_start(plan: &Plan, place: u32) -> Self {
        Self {
            phone_bound: plan.kind(place) == Kind::OfficialAccount || plan.phone_bound_at_start(place),
            ..Self::default()
        }
    }

    /// It authorizes (again), or changes what it grants: a new refresh token, and the one before is void at once.
    pub(super) fn authorizes(&mut self, unix_now: i64) {
        self.refresh_serial += 1;
        self.refresh_previous_until = 0;
        self.authorized_at = Some(unix_now);
    }

    pub(super) fn permission_sets<'a>(&'a self, traits: &Traits<'_>) -> &'a [u16] {
        self.permission_sets.as_deref().unwrap_or_else(|| traits.permission_sets())
    }

    pub(super) fn account_status(&self, traits: &Traits<'_>) -> u8 {
        if self.account_status == 0 { traits.account_status() } else { self.account_status }
    }

    pub(super) fn card(&self, traits: &Traits<'_>) -> MerchantCard {
        MerchantCard {
            appid: traits.plan.appid(traits.place),
            kind: traits.plan.kind(traits.place),
            nick_name: traits.nick_name(),
            principal_name: traits.principal_name(),
            user_name: traits.user_name(),
            refresh_token: traits.refresh_token(self.refresh_serial),
            permission_sets: self.permission_sets(traits).to_vec(),
            account_status: self.account_status(traits),
            phone_bound: self.phone_bound,
            withdrawn: self.withdrawn,
            asks: self.asks.clone(),
            refreshes: self.refreshes,
        }
    }
}
