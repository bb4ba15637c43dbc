//! The configuration: the only module that reads the environment, once, into types that cannot be wrong.
//!
//! Every fault is gathered before any is shown. No secret is ever part of a fault, of a setting's text or of a debug
//! form. A variable is named in one place, the one that reads it: what is known is what was read.

mod cadence;
mod credentials;
mod fault;
mod limits;
mod merchant_source;
mod nearest;
mod policy;
mod reader;
mod receiver;
#[cfg(test)]
mod tests;
mod token_source;
mod values;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use chrono::NaiveTime;
use chrono_tz::Tz;
use secrecy::{SecretBox, SecretString};
use url::Url;

pub use cadence::Cadence;
pub use fault::{ConfigError, Fault};
pub use limits::{LimitSetting, Limits, limit, limit_name, merchant_limit};
pub use policy::{Missed, Overlap, SchedulePolicy, schedule_names};
pub use reader::{Setting, Source};
pub use receiver::ReceiverSettings;
pub use token_source::TokenSourceSettings;
pub use values::{duration, event_key, event_token, platform_secret, secret_word};

pub use crate::domain::appid::appid;
use crate::{domain::CheckName, store::retention::Keep};
use reader::Reader;

/// How long one call to WeChat may take in all. Not a variable: the shortest lease is derived from it.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// The shortest lease that may be configured.
pub const LEASE_MIN: Duration = Duration::from_secs(30);

// No more is claimed than the limits admit in a third of the lease, or in less. The last of those items still needs its whole
// call, and five seconds to be recorded.
const _: () = assert!(LEASE_MIN.as_secs() * 2 >= 3 * (CALL_DEADLINE.as_secs() + 5));

const DAY: u64 = 86_400;

/// Everything that the environment decides.
#[derive(Debug)]
pub struct Config {
    /// Where Postgres is; `None`: the private one under `data_dir`.
    pub database_url: Option<SecretString>,
    /// Where the private Postgres keeps its data and the encryption key made for it.
    pub data_dir: PathBuf,
    /// The most connections that this process opens to Postgres; at least 2.
    pub db_connections_max: u32,
    /// WeChat's address, without query or credentials.
    pub wechat_base_url: Url,
    /// The platform that the environment names, beside those in the database. Its secret goes before a stored one.
    pub platform: Option<PlatformSettings>,
    /// Who keeps the tokens; `None`: wxpatrol itself.
    pub token_source: Option<TokenSourceSettings>,
    /// The query that lists the merchants; `None`: WeChat's authorizer list does.
    pub merchant_source: Option<SecretString>,
    /// The key that seals tokens. Always there when `database_url` is; without it `None` means: made once by the
    /// program and kept in `data_dir`.
    pub encryption_key: Option<SecretBox<[u8; 32]>>,
    /// Keys that open what they sealed before. With `None` above they are beside the key in `data_dir`.
    pub encryption_keys_old: Vec<SecretBox<[u8; 32]>>,
    /// How fast each endpoint may be called.
    pub limits: Limits,
    /// When each check is looked at; `None`: never by itself. Every check has its entry.
    pub check_schedules: BTreeMap<CheckName, Option<Cadence>>,
    /// When merchants are read from WeChat; `None`: never by itself.
    pub sync_schedule: Option<Cadence>,
    /// What becomes of ticks that were missed or overlap, by the schedule's name. Every schedule has its entry.
    pub schedule_policies: BTreeMap<String, SchedulePolicy>,
    /// The zone of schedules without one of their own, and of instants given on the command line.
    pub time_zone: Tz,
    /// Where the status server listens.
    pub status_addr: SocketAddr,
    /// The receiver of authorization events; `None`: this process has none.
    pub receiver: Option<ReceiverSettings>,
    /// How long a claim holds; at least [`LEASE_MIN`].
    pub lease: Duration,
    /// Calls in flight of each platform in this process; at least 1.
    pub calls_max: usize,
    /// When nobody is messaged, in platform time; `None`: messages at any hour.
    pub quiet_hours: Option<QuietHours>,
    /// The shortest time between two asks of one merchant; at least 24 hours.
    pub ask_cooldown: Duration,
    /// How often one merchant is asked before a person must decide.
    pub asks_max: Cap,
    /// How many merchants of a platform are asked in one day of platform time.
    pub asks_per_day: Cap,
    /// What becomes of merchants seen for the first time.
    pub new_merchants: NewMerchants,
    /// How long an invitation may wait for its administrators before it is stale.
    pub link_patience: Duration,
    /// How long rows are kept.
    pub keep: Keep,
    /// What is logged, and how.
    pub log: LogSettings,
    settings: Vec<Setting>,
}

/// The third-party platform that the environment names.
#[derive(Debug, Clone)]
pub struct PlatformSettings {
    /// Its appid.
    pub component_appid: String,
    /// Its secret; `None` when another system keeps the tokens.
    pub secret: Option<SecretString>,
    /// A verify ticket to begin with, ignored once a newer one is stored.
    pub verify_ticket: Option<SecretString>,
    /// A file that another system keeps the newest verify ticket in; never together with `verify_ticket`.
    pub verify_ticket_file: Option<PathBuf>,
}

/// A number that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// No bound.
    Unlimited,
    /// At most so many; 0: none.
    AtMost(u32),
}

/// Times of day between which nobody is messaged. `from` is included, `until` is not; when `from` is the later one
/// they wrap around midnight. They are never equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// When quiet begins.
    pub from: NaiveTime,
    /// When quiet is over.
    pub until: NaiveTime,
}

/// What becomes of a merchant seen for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewMerchants {
    /// It is checked and messaged like every other.
    Active,
    /// It is read, but not messaged before an operator resumes it.
    Held,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Levels by target; always a filter that can be read.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
    /// Whether text on a terminal may be coloured; `NO_COLOR` forbids it.
    pub color: bool,
}

impl Default for LogSettings {
    /// What holds before the environment was read.
    fn default() -> Self {
        Self { filter: LOG_FILTER.to_owned(), format: LogFormat::Auto, color: true }
    }
}

impl LogSettings {
    /// Only trouble, unless the environment asked for something else.
    pub fn quieten(&mut self) {
        if self.filter == LOG_FILTER {
            self.filter = "warn,sqlx=error".to_owned();
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text when stderr is a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const LOG_FILTER: &str = "info,sqlx=warn,tokio_cron_scheduler=warn";

impl Config {
    /// Reads the environment of this process.
    ///
    /// # Errors
    ///
    /// Every fault of the environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        let lookup = |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        Self::from_vars(lookup, std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()))
    }

    /// Reads variables through `lookup`; `names` are the names of all that are set, among which unknown ones of ours
    /// are looked for. Files named by `..._FILE` variables are read.
    ///
    /// # Errors
    ///
    /// Every fault of the variables.
    pub fn from_vars(
        lookup: impl Fn(&str) -> Option<String>,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let r = &mut reader;
        let (database_url, data_dir) = credentials::database(r);
        let db_connections_max = r.or_default(
            "WXPATROL_DB_CONNECTIONS_MAX",
            "8",
            "connections that each process opens to Postgres at most",
            values::number_within(2, 1_000),
        );
        let wechat_base_url = r.or_default(
            "WXPATROL_WECHAT_BASE_URL",
            "https://api.weixin.qq.com",
            "where WeChat is called",
            values::base_url,
        );
        let platform = credentials::platform(r, token_source::named(r));
        let token_source = token_source::token_source(r);
        let merchant_source = merchant_source::merchant_source(r);
        let encryption_key = credentials::encryption_key(r, database_url.is_some());
        let encryption_keys_old = credentials::old_keys(r);
        let limits = Limits::read(r);
        let time_zone = r.or_default(
            "WXPATROL_TIME_ZONE",
            "Asia/Shanghai",
            "the zone of schedules without one of their own",
            values::zone,
        );
        let (check_schedules, sync_schedule) = policy::cadences(r, time_zone);
        let schedule_policies = policy::read(r);
        let status_addr = r.or_default(
            "WXPATROL_STATUS_ADDR",
            "127.0.0.1:9464",
            "where the status server listens: /healthz, /readyz, /metrics",
            values::socket_addr,
        );
        let receiver = receiver::receiver(r, credentials::platform_named(r));
        let lease = r.or_default(
            "WXPATROL_LEASE",
            "60s",
            "how long a claimed item is held; after a crash it comes due again this much later",
            values::lease,
        );
        let calls_max = r.or_default(
            "WXPATROL_CALLS_MAX",
            "64",
            "calls in flight of each platform in each process at most",
            values::number_within(1, 4_096),
        );
        let quiet_hours = r.or_default_unless_empty(
            "WXPATROL_QUIET_HOURS",
            "21:00-09:00",
            "when nobody is messaged, in WeChat's time (Asia/Shanghai); empty: never quiet",
            values::quiet_hours,
        );
        let ask_cooldown = r.or_default(
            "WXPATROL_ASK_COOLDOWN",
            "7d",
            "the shortest time between two asks of one merchant",
            values::duration_within((Duration::from_secs(DAY), "24h"), (Duration::from_secs(365 * DAY), "365d")),
        );
        let asks_max =
            r.or_default("WXPATROL_ASKS_MAX", "3", "asks of one merchant before a person must decide", values::cap);
        let asks_per_day = r.or_default(
            "WXPATROL_ASKS_PER_DAY",
            "500",
            "merchants of each platform that are asked in one day",
            values::cap,
        );
        let new_merchants = r.or_default(
            "WXPATROL_NEW_MERCHANTS",
            "active",
            "active: new merchants are messaged like others; held: not before an operator resumes them",
            |text| match text {
                "active" => Ok(NewMerchants::Active),
                "held" => Ok(NewMerchants::Held),
                _ => Err("must be active or held".to_owned()),
            },
        );
        let link_patience = r.or_default(
            "WXPATROL_LINK_PATIENCE",
            "7d",
            "how long an invitation waits for both administrators before it is stale",
            values::duration_within((Duration::from_secs(3_600), "1h"), (Duration::from_secs(365 * DAY), "365d")),
        );
        let keep = Keep {
            runs_days: r.or_default(
                "WXPATROL_KEEP_RUNS",
                "400d",
                "how long runs and their coverage are kept",
                values::days(1),
            ),
            failures_days: r.or_default(
                "WXPATROL_KEEP_FAILURES",
                "7d",
                "how long failed calls are kept",
                values::days(1),
            ),
            changes_days: r.or_default(
                "WXPATROL_KEEP_CHANGES",
                "730d",
                "how long callback changes and ended intervals are kept",
                values::days(1),
            ),
            intents_days: r.or_default(
                "WXPATROL_KEEP_INTENTS",
                "400d",
                "how long the proof of each message is kept; never less than a year",
                values::days(365),
            ),
        };
        let log = LogSettings {
            filter: r.or_default("WXPATROL_LOG", LOG_FILTER, "what is logged to stderr", values::log_filter),
            format: r.or_default(
                "WXPATROL_LOG_FORMAT",
                "auto",
                "text, json, or auto: text on a terminal and JSON elsewhere",
                values::log_format,
            ),
            color: r.text("NO_COLOR").is_none(),
        };
        refuse_unknown(r, names);
        let Reader { settings, faults, .. } = reader;
        if !faults.is_empty() {
            return Err(ConfigError { faults });
        }
        Ok(Self {
            database_url,
            data_dir,
            db_connections_max,
            wechat_base_url,
            platform,
            token_source,
            merchant_source,
            encryption_key,
            encryption_keys_old,
            limits,
            check_schedules,
            sync_schedule,
            schedule_policies,
            time_zone,
            status_addr,
            receiver,
            lease,
            calls_max: calls_max as usize,
            quiet_hours,
            ask_cooldown,
            asks_max,
            asks_per_day,
            new_merchants,
            link_patience,
            keep,
            log,
            settings,
        })
    }

    /// Every variable with its effective value, for `wxpatrol config`. Secrets are only `set` or `not set`.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

/// A login name from the environment, for the rows that remember who gave a word.
#[must_use]
pub fn login_name(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|name| !name.is_empty())
}

/// A misspelt variable would be ignored in silence, and a limit with it.
fn refuse_unknown<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>, names: impl IntoIterator<Item = String>) {
    let known: Vec<String> = r.settings.iter().map(|setting| setting.name.clone()).collect();
    let mut unknown: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with("WXPATROL_") && !known.contains(name) && !nearest::service_link(name))
        .collect();
    unknown.sort();
    for name in unknown {
        let rule = match nearest::nearest(&name, &known) {
            Some(suggestion) => format!("is no variable of wxpatrol; did you mean {suggestion}?"),
            None => "is no variable of wxpatrol; `wxpatrol config` lists them all".to_owned(),
        };
        r.fault(&name, None, rule, None);
    }
}
