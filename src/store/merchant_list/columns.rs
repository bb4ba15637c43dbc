//! The columns that a list of merchants may have: their names and types, and how each is read.

use super::super::foreign::TEXT_TYPES;

const NUMBER_TYPES: [&str; 3] = ["INT2", "INT4", "INT8"];
const SET_TYPES: [&str; 9] = ["INT2[]", "INT4[]", "INT8[]", "TEXT[]", "VARCHAR[]", "TEXT", "VARCHAR", "JSON", "JSONB"];
const INSTANT_TYPES: [&str; 3] = ["TIMESTAMPTZ", "INT4", "INT8"];

/// What a column of the query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Appid,
    Kind,
    Nickname,
    Principal,
    PermissionSets,
    AccountStatus,
    AuthorizedAt,
    /// Which platform it is of: the query knows that by its `$1`.
    Component,
}

impl Field {
    /// WeChat's own names are understood as well.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "appid" | "authorizer_appid" => Self::Appid,
            "kind" => Self::Kind,
            "nickname" | "nick_name" => Self::Nickname,
            "principal" | "principal_name" => Self::Principal,
            "permission_sets" => Self::PermissionSets,
            "account_status" => Self::AccountStatus,
            "authorized_at" | "auth_time" => Self::AuthorizedAt,
            "component_appid" => Self::Component,
            _ => return None,
        })
    }

    /// The types that it may have, and how they are called to a person.
    fn types(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Appid | Self::Kind | Self::Nickname | Self::Principal | Self::Component => (&TEXT_TYPES, "text"),
            Self::PermissionSets => (&SET_TYPES, "an array of numbers, or text such as 49;33"),
            Self::AccountStatus => (&NUMBER_TYPES, "a whole number"),
            Self::AuthorizedAt => (&INSTANT_TYPES, "timestamptz, or a Unix time in seconds"),
        }
    }

    /// The column as it is read, whatever its type.
    fn cast(self, name: &str, type_name: &str) -> String {
        let name = format!("q.\"{}\"", name.replace('"', "\"\""));
        match self {
            Self::AccountStatus => format!("{name}::int8"),
            Self::AuthorizedAt if type_name == "TIMESTAMPTZ" => format!("extract(epoch from {name})::float8"),
            Self::AuthorizedAt => format!("{name}::float8"),
            Self::Appid | Self::Kind | Self::Nickname | Self::Principal | Self::PermissionSets | Self::Component => {
                format!("{name}::text")
            }
        }
    }
}

/// Which columns about a merchant the query gives: WeChat is asked about the others alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// The kind of account.
    pub kind: bool,
    /// The name.
    pub nickname: bool,
    /// The legal entity.
    pub principal: bool,
    /// The granted permission sets.
    pub permission_sets: bool,
    /// WeChat's account_status.
    pub account_status: bool,
}

impl Given {
    /// Whether nothing is left that WeChat would have to be asked about.
    #[must_use]
    pub fn everything(self) -> bool {
        self.kind && self.nickname && self.principal && self.permission_sets && self.account_status
    }

    /// The names of the columns that are given, as the table of merchants has them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [
            ("kind", self.kind),
            ("nickname", self.nickname),
            ("principal", self.principal),
            ("permission_sets", self.permission_sets),
            ("account_status", self.account_status),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

/// What the columns give, and each of them as it is read.
pub(super) fn columns_of(columns: &[(&str, &str)]) -> Result<(Given, Vec<String>), String> {
    let mut found: Vec<(Field, &str, &str)> = Vec::new();
    for (name, type_name) in columns {
        let Some(field) = Field::of(name) else {
            return Err(format!(
                "gives a column {name:?}, which means nothing here: the columns are appid, kind, nickname, principal, \
                 permission_sets, account_status, authorized_at (name yours so with `as`, and leave out the others)"
            ));
        };
        if found.iter().any(|(known, ..)| *known == field) {
            return Err(format!("gives the column {name} twice"));
        }
        let (types, wanted) = field.types();
        if field == Field::AuthorizedAt && *type_name == "TIMESTAMP" {
            return Err(format!(
                "its column {name} must be timestamptz: a timestamp does not say in which zone it is (write `{name} at time \
                 zone 'Asia/Shanghai' as {name}`)"
            ));
        }
        if !types.contains(type_name) {
            return Err(format!("its column {name} must be {wanted}, and not {type_name}"));
        }
        found.push((field, name, type_name));
    }
    if !found.iter().any(|(field, ..)| *field == Field::Appid) {
        return Err("gives no column appid: name the merchants' appids so with `as appid`".to_owned());
    }
    let has = |field| found.iter().any(|(known, ..)| *known == field);
    let cast = |field, none: &str, name: &str| {
        let cast = found.iter().find(|(known, ..)| *known == field);
        let cast = cast.map_or_else(|| none.to_owned(), |(field, name, type_name)| field.cast(name, type_name));
        format!("{cast} as {name}")
    };
    let given = Given {
        kind: has(Field::Kind),
        nickname: has(Field::Nickname),
        principal: has(Field::Principal),
        permission_sets: has(Field::PermissionSets),
        account_status: has(Field::AccountStatus),
    };
    let casts = [
        (Field::Appid, "null::text", "appid"),
        (Field::Kind, "null::text", "kind"),
        (Field::Nickname, "null::text", "nickname"),
        (Field::Principal, "null::text", "principal"),
        (Field::PermissionSets, "null::text", "permission_sets"),
        (Field::AccountStatus, "null::int8", "account_status"),
        (Field::AuthorizedAt, "null::float8", "authorized_at"),
    ];
    Ok((given, casts.map(|(field, none, name)| cast(field, none, name)).into()))
}
