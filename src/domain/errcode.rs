//! The runbook: every errcode of WeChat that wxpatrol knows, what it means here, and who must do what.
//!
//! The only place that turns a code into a [`Class`]. A row that names endpoints wins over the general row of the same
//! code; a code without a row is [`Class::Unknown`], but for the cloud-development family on the two `tcb` endpoints.

mod links;
mod platform;
mod requests;

use std::sync::LazyLock;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{Class, Endpoint};

/// Who can end the trouble that a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Actor {
    /// Nobody needs to act: it passes, or it is a success.
    Nobody,
    /// The provider's engineers: a fault in the program or its settings.
    ProviderEngineer,
    /// The provider's operators.
    Operator,
    /// The administrator of the merchant's account.
    MerchantAdmin,
    /// The administrator of the official account that invites.
    OfficialAccountAdmin,
    /// WeChat's platform team.
    #[strum(serialize = "wechat")]
    WeChat,
}

impl Actor {
    /// Everyone who can act.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The stable name used in tables and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// On which endpoints a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Wherever no row names the endpoint.
    Any,
    /// On these endpoints alone.
    Only(&'static [Endpoint]),
}

/// One row of the runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errcode {
    /// WeChat's code.
    pub code: i64,
    /// Where this row holds.
    pub scope: Scope,
    /// What happens next.
    pub class: Class,
    /// Who can end it.
    pub actor: Actor,
    /// What it means, in Chinese.
    pub meaning_zh: &'static str,
    /// What it means, in English.
    pub meaning_en: &'static str,
    /// What to do, in Chinese.
    pub remedy_zh: &'static str,
    /// What to do, in English.
    pub remedy_en: &'static str,
}

impl Scope {
    /// The endpoints that a row names, empty for a general row.
    #[must_use]
    pub const fn endpoints(self) -> &'static [Endpoint] {
        match self {
            Self::Any => &[],
            Self::Only(endpoints) => endpoints,
        }
    }
}

/// Writes a table with one row for each code: code, scope, class, actor, then meaning and remedy in both languages.
macro_rules! errcodes {
    ($($code:literal $scope:ident $class:ident $actor:ident:
        $meaning_zh:literal, $meaning_en:literal => $remedy_zh:literal, $remedy_en:literal;)*) => {
        &[$(Errcode {
            code: $code,
            scope: $scope,
            class: Class::$class,
            actor: Actor::$actor,
            meaning_zh: $meaning_zh,
            meaning_en: $meaning_en,
            remedy_zh: $remedy_zh,
            remedy_en: $remedy_en,
        }),*]
    };
}
use errcodes;

// The scopes, named so that a row of the tables fits on a line.
const ANY: Scope = Scope::Any;
const TCB: Scope = Scope::Only(&[Endpoint::CheckMobile, Endpoint::GetCallbackConfig]);
const PHONE: Scope = Scope::Only(&[Endpoint::CheckMobile]);
const LINK: Scope = Scope::Only(&[Endpoint::WxampLink]);
const SECRET: Scope = Scope::Only(&[Endpoint::ApiComponentToken, Endpoint::ApiStartPushTicket]);
const PLATFORM: Scope = Scope::Only(&[
    Endpoint::ApiComponentToken,
    Endpoint::ApiStartPushTicket,
    Endpoint::ApiGetAuthorizerList,
    Endpoint::ApiQueryAuth,
]);
const TOKENS: Scope = Scope::Only(&[Endpoint::ApiComponentToken, Endpoint::ApiAuthorizerToken]);
const REFRESH: Scope = Scope::Only(&[Endpoint::ApiAuthorizerToken]);
const BY_COMPONENT: Scope = Scope::Only(&[
    Endpoint::ApiAuthorizerToken,
    Endpoint::ApiGetAuthorizerList,
    Endpoint::ApiGetAuthorizerInfo,
    Endpoint::ApiQueryAuth,
]);

/// All rows, sorted by code; the rows of one code stand with those that name endpoints first.
static ALL: LazyLock<Vec<Errcode>> = LazyLock::new(|| {
    let mut rows: Vec<Errcode> = [requests::ROWS, platform::ROWS, links::ROWS].concat();
    rows.sort_by_key(|row| (row.code, row.scope == Scope::Any));
    rows
});

/// Every row, sorted by code.
#[must_use]
pub fn all() -> &'static [Errcode] {
    &ALL
}

/// The row that holds for a code on an endpoint, `None` when the code is in no row that does.
#[must_use]
pub fn lookup(endpoint: Endpoint, errcode: i64) -> Option<&'static Errcode> {
    let rows = all();
    let first = rows.partition_point(|row| row.code < errcode);
    rows[first..].iter().take_while(|row| row.code == errcode).find(|row| match row.scope {
        Scope::Any => true,
        Scope::Only(endpoints) => endpoints.contains(&endpoint),
    })
}

/// What a code means on an endpoint.
#[must_use]
pub fn classify(endpoint: Endpoint, errcode: i64) -> Class {
    match lookup(endpoint, errcode) {
        Some(row) => row.class,
        None if TCB.endpoints().contains(&endpoint) && (-999_999..=-100_000).contains(&errcode) => Class::NotApplicable,
        None => Class::Unknown,
    }
}

#[cfg(test)]
mod tests;
