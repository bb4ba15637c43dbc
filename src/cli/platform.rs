//! `platform`: what may be said about the platforms of an installation. Definitions only.
//!
//! No secret is ever an argument: arguments show in the list of processes.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};

use super::values::Input;
use crate::{
    config,
    domain::{CheckName, Endpoint},
};

/// Arguments of `platform`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PlatformArgs {
    /// What is done.
    #[command(subcommand)]
    pub command: PlatformCommand,
}

/// What is done with platforms.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum PlatformCommand {
    /// Add a platform, or change one that is known
    ///
    /// Changes what is given and leaves the rest as it is; giving the same again changes nothing. Secrets are sealed
    /// before they are stored. The platform's secret is read from standard input when --secret-file is not given and
    /// something is piped in. `run` takes a new or changed platform up by itself, within seconds.
    ///
    /// Example: printf %s "$SECRET" | wxpatrol platform add wx0123456789abcdef --limit checkmobile=50/s
    Add(PlatformAdd),
    /// List the platforms
    ///
    /// What each has been given (a secret is only `set` or `not set`), the age of its ticket, whether it is halted, and
    /// how many merchants it has. Changes nothing.
    ///
    /// Example: wxpatrol platform list --json
    List,
    /// Leave a platform alone
    ///
    /// Every process ends its work on it in order, within seconds, and calls WeChat for it no more. Its merchants, results
    /// and settings stay, and commands can still be given for it with --platform.
    ///
    /// Example: wxpatrol platform disable wx0123456789abcdef
    Disable(PlatformName),
    /// Patrol a platform again that was disabled
    ///
    /// What came due meanwhile is done, under the same limits, cool-downs and quiet hours.
    ///
    /// Example: wxpatrol platform enable wx0123456789abcdef
    Enable(PlatformName),
}

/// A platform by its appid.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PlatformName {
    /// The platform
    #[arg(value_name = "APPID", value_parser = config::appid)]
    pub appid: String,
}

/// Arguments of `platform add`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PlatformAdd {
    /// The platform's own appid, as WeChat's console shows it
    #[arg(value_name = "APPID", value_parser = config::appid)]
    pub appid: String,
    /// Where its AppSecret is read from: a file, or - for stdin
    #[arg(long, value_name = "FILE|-")]
    pub secret_file: Option<Input>,
    /// A file with its newest component_verify_ticket
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub ticket_file: Option<PathBuf>,
    /// A file with the token that signs what WeChat posts to its authorization event URL
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub event_token_file: Option<PathBuf>,
    /// A file with the EncodingAESKey of that URL (43 letters and digits)
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub event_key_file: Option<PathBuf>,
    /// What people call it; empty takes the name back
    #[arg(long, value_name = "TEXT")]
    pub nickname: Option<String>,
    /// A limit of its own (repeatable): checkmobile=50/s, checkmobile_merchant=1/s; =default takes it back
    ///
    /// It goes before WXPATROL_LIMIT_..., which holds for every platform without a limit of its own.
    #[arg(long = "limit", value_name = "ENDPOINT=LIMIT")]
    pub limits: Vec<OwnLimit>,
    /// The schedules that are on for it: all, none, or a list such as phone,callback,sync
    ///
    /// A run by hand without --check keeps to them as well.
    #[arg(long, value_name = "LIST")]
    pub schedules: Option<Scope>,
}

/// A file's name; `-` is none, because only one text can come through standard input.
fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" | "-" => Err("must be the name of a file".to_owned()),
        path => Ok(path.into()),
    }
}

/// A limit that holds for one platform, as `checkmobile=50/s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLimit {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Whether it is the limit of each merchant.
    pub per_merchant: bool,
    /// The limit as it is written; `None`: the environment's holds again.
    pub limit: Option<String>,
}

impl FromStr for OwnLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, limit) = text.split_once('=').ok_or("must be an endpoint, = and a limit: checkmobile=50/s")?;
        let (endpoint, per_merchant) = config::limit_name(name.trim())?;
        let limit = match limit.trim() {
            "default" => None,
            limit if per_merchant => Some(config::merchant_limit(limit)?.to_string()),
            limit => Some(config::limit(limit)?.to_string()),
        };
        Ok(Self { endpoint, per_merchant, limit })
    }
}

/// The schedules that are on for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every schedule, also those of checks to come.
    All,
    /// These, in the order of the checks; sync last.
    Only(Vec<String>),
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known: Vec<&str> = CheckName::ALL.iter().map(|check| check.name()).chain(["sync"]).collect();
        let named: Vec<&str> = match text.trim() {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::Only(Vec::new())),
            list => list.split(',').map(str::trim).collect(),
        };
        if named.iter().any(|name| !known.contains(name)) {
            return Err(format!("must be all, none, or some of {} with commas between them", known.join(",")));
        }
        Ok(Self::Only(known.into_iter().filter(|name| named.contains(name)).map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_its_own_is_kept_as_it_is_shown_and_may_be_taken_back() {
        let limit = |text: &str| text.parse::<OwnLimit>();
        let of_all = limit("checkmobile = 200/sec burst 5").unwrap();
        assert_eq!((of_all.endpoint, of_all.per_merchant), (Endpoint::CheckMobile, false));
        assert_eq!(of_all.limit.as_deref(), Some("200/s"));
        let of_one = limit("WXAMPLINK_MERCHANT=unlimited").unwrap();
        assert_eq!((of_one.endpoint, of_one.per_merchant), (Endpoint::WxampLink, true));
        assert_eq!(of_one.limit.as_deref(), Some("unlimited"));
        assert_eq!(limit("wxamplinkget=default").unwrap().limit, None);
        for text in ["50/s", "nowhere=50/s", "api_component_token=5/s", "api_authorizer_token_merchant=5/s"] {
            assert!(limit(text).is_err(), "{text}");
        }
        for text in ["checkmobile=", "checkmobile=0/s", "checkmobile=fast"] {
            assert!(limit(text).unwrap_err().contains("200/s"), "{text}");
        }
    }

    #[test]
    fn schedules_are_all_or_none_or_named_in_their_order() {
        let scope = |text: &str| text.parse::<Scope>();
        assert_eq!(scope("all"), Ok(Scope::All));
        assert_eq!(scope("none"), Ok(Scope::Only(vec![])));
        assert_eq!(
            scope("sync, callback,phone,phone"),
            Ok(Scope::Only(["phone", "callback", "sync"].map(Into::into).into()))
        );
        for text in ["", "phones", "phone,", "all,phone"] {
            assert!(scope(text).is_err(), "{text}");
        }
    }
}
