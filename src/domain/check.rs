//! The names of the checks.

use strum::{EnumString, IntoStaticStr, VariantArray};

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
