//! The checks by name, and the facts about each that planning, pacing, recording and coverage share.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::Endpoint;

/// The kinds of account that a platform acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Not known yet: `sync` asks WeChat.
    Unknown,
    /// A mini program.
    MiniProgram,
    /// An official account.
    OfficialAccount,
    /// Something else that can authorize a platform: a channels account, a shop, ...
    Other,
}

/// What one item of a check stands for, and so what its coverage counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Each mini program.
    MiniProgram,
    /// Each official account that has a wanted pair.
    AccountWithWish,
    /// Each wanted pair.
    Wish,
}

/// Readings are due again "daily" after this: four hours less than a day, so that a patrol at a fixed hour finds
/// everything due that the day before's patrol read late.
pub const DAILY: Duration = Duration::from_secs(20 * 3600);

/// A unit of work that is done for each merchant (or pair) it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum CheckName {
    /// Reads whether a phone is bound.
    Phone,
    /// Asks the administrator for the phone: messages a person.
    Ask,
    /// Reads the message-push configuration.
    Callback,
    /// Reads the links of one official account.
    Links,
    /// Sends a link invitation: messages a person.
    Invite,
}

impl CheckName {
    /// Every check, readings before the messages that depend on them.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The endpoint that the check calls.
    #[must_use]
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::Phone | Self::Ask => Endpoint::CheckMobile,
            Self::Callback => Endpoint::GetCallbackConfig,
            Self::Links => Endpoint::WxampLinkGet,
            Self::Invite => Endpoint::WxampLink,
        }
    }

    /// For checks that message people: the reading that goes before, whose item carries the merchant's limit.
    #[must_use]
    pub const fn gate(self) -> Option<Self> {
        match self {
            Self::Phone | Self::Callback | Self::Links => None,
            Self::Ask => Some(Self::Phone),
            Self::Invite => Some(Self::Links),
        }
    }

    /// The kind of merchant that its items belong to.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self.unit() {
            Unit::MiniProgram => Kind::MiniProgram,
            Unit::AccountWithWish | Unit::Wish => Kind::OfficialAccount,
        }
    }

    /// Whether the check messages people.
    #[must_use]
    pub const fn messages_people(self) -> bool {
        self.gate().is_some()
    }

    /// The checks whose items wake one another, itself included.
    #[must_use]
    pub const fn family(self) -> &'static [Self] {
        match self {
            Self::Phone | Self::Ask => &[Self::Phone, Self::Ask],
            Self::Callback => &[Self::Callback],
            Self::Links | Self::Invite => &[Self::Links, Self::Invite],
        }
    }

    /// What one item stands for.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Phone | Self::Ask | Self::Callback => Unit::MiniProgram,
            Self::Links => Unit::AccountWithWish,
            Self::Invite => Unit::Wish,
        }
    }

    /// The permission sets of which the merchant must have granted one (WeChat's documentation of the endpoints).
    #[must_use]
    pub const fn permission_sets(self) -> &'static [i32] {
        match self {
            Self::Phone | Self::Ask | Self::Callback => &[49, 64],
            Self::Links | Self::Invite => &[33],
        }
    }

    /// The stable name used in flags, variables, logs, metrics and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl std::fmt::Display for CheckName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
