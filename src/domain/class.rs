//! The classes of WeChat's answers, named for what happens next.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// What an answer means for the item that was asked about. Stored with every outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// The call succeeded.
    Ok,
    /// Something passing: try again, a bounded number of times.
    Transient,
    /// The token was refused: refresh it and repeat the call once.
    Token,
    /// The merchant has not granted the permission set; wait until its authorization changes.
    Permission,
    /// The merchant took its authorization back.
    Withdrawn,
    /// Too many calls in this minute.
    QuotaMinute,
    /// Too many calls today, in platform time.
    QuotaDay,
    /// Too many this month, in platform time.
    QuotaMonth,
    /// An invitation or message is out already: a success for the step.
    Pending,
    /// What was wanted is already so: a success for the step.
    Already,
    /// Somebody must act; a program can not.
    Human,
    /// The question does not apply to this merchant.
    NotApplicable,
    /// Our request is wrong.
    Bug,
    /// A fault of the whole platform: stop before it burns through the merchants.
    Halt,
    /// A code that is in no table: bounded and collected.
    Unknown,
}

impl Class {
    /// Every class.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The stable name used in tables, logs, metrics and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
