//! Puts the parts together: configuration, Postgres, the wire, the engine. Knows every module, known by none but `main`.

pub mod once;
mod merchants;
pub mod shutdown;
#[cfg(feature = "demo")]
mod private;
#[cfg(feature = "demo")]
mod simulate;

use std::{collections::HashMap, sync::Arc};

use secrecy::SecretBox;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Action, Command, Invocation},
    config::{CALL_DEADLINE, Cap, Config, ConfigError, NewMerchants},
    domain::{Endpoint, Limit, PlatformId, link::Patience, message::MessagePolicy},
    ops::print::{Format, Screen, Table},
    patrol::{Patrol, PatrolSettings},
    store::{Sealer, Store, StoreError, StoreSettings, slices::SharedLimits},
    wechat::{PaceConfig, Platform, Timeouts, Wechat, Wire},
};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done; the coverage adds up.
    Done,
    /// Incomplete or interrupted.
    Incomplete,
    /// Could not start: usage, configuration, database. Nothing is half done.
    CouldNotStart,
    /// Halted by a fault of the whole platform.
    Halted,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::CouldNotStart => 2,
            Self::Halted => 3,
        }
    }
}

/// Why a command ended without its answer: a sentence for a person, and the exit code.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The environment is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// What the person gave is wrong; nothing was done.
    #[error("{0}")]
    Input(String),
    /// Postgres is not there, or is not what it must be.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Something that was begun could not be finished.
    #[error("{0}")]
    Incomplete(String),
    /// A fault of the whole platform.
    #[error("halted: {0}")]
    Halted(String),
}

impl AppError {
    /// The exit code that says so.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Input(_) | Self::Store(_) => Exit::CouldNotStart,
            Self::Incomplete(_) => Exit::Incomplete,
            Self::Halted(_) => Exit::Halted,
        }
    }
}

/// The parts that most commands need.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// Postgres, migrated.
    pub store: Store,
    /// How rows are printed.
    pub format: Format,
    /// Ends everything in order.
    pub stop: CancellationToken,
    #[cfg(feature = "demo")]
    _private: Option<crate::private_postgres::PrivatePostgres>,
}

/// A platform that can be called.
pub struct Ready {
    /// The platform.
    pub platform: Platform,
    /// The wire.
    pub wire: Wire,
}

/// Does what the command line asks for.
///
/// # Errors
/// One sentence that names what to do, and the exit code.
pub async fn run(invocation: Invocation, stop: CancellationToken) -> Result<Exit, AppError> {
    #[cfg(feature = "demo")]
    if let Action::Command(Command::Simulate(flags)) = &invocation.action {
        return simulate::serve(flags, stop).await;
    }
    let config = Config::from_env()?;
    let format = invocation.format;
    match invocation.action {
        Action::Once(once) => App::open(config, format, stop, "once").await?.once(&once).await,
        Action::Command(Command::Sync) => App::open(config, format, stop, "sync").await?.sync().await,
        Action::Command(_) => Err(AppError::Input("not yet".to_owned())),
    }
}

impl App {
    /// Opens Postgres (the private one when no other is named), brings the schema up to date and checks the key.
    ///
    /// # Errors
    /// One sentence that names what to do.
    pub async fn open(
        config: Config,
        format: Format,
        stop: CancellationToken,
        purpose: &'static str,
    ) -> Result<Self, AppError> {
        let settings = StoreSettings { connections_max: config.db_connections_max, lease: config.lease, purpose };
        #[cfg(feature = "demo")]
        let (url, key, private) = private::database(&config).await?;
        #[cfg(not(feature = "demo"))]
        let (url, key) = (
            config.database_url.clone().ok_or_else(|| AppError::Input("set DATABASE_URL".to_owned()))?,
            config.encryption_key.as_ref().map(copy_key),
        );
        let sealer = key.as_ref().map(Sealer::new);
        let store = Store::connect(secrecy::ExposeSecret::expose_secret(&url), &settings, sealer).await?;
        store.migrate().await?;
        if key.is_some() {
            store.check_sealing_key().await?;
        }
        store.read_clock().await?;
        Ok(Self {
            config,
            store,
            format,
            stop,
            #[cfg(feature = "demo")]
            _private: private,
        })
    }

    /// The platform of the configuration, by its row; the only one that commands without WeChat need.
    ///
    /// # Errors
    /// No platform is configured, or Postgres did not answer.
    pub async fn platform_id(&self) -> Result<PlatformId, AppError> {
        let platform = self.config.platform.as_ref().ok_or_else(no_platform)?;
        Ok(self.store.platform(&platform.component_appid).await?)
    }

    /// The platform with its wire.
    ///
    /// # Errors
    /// No platform is configured, or there is no ticket to get a token with.
    pub async fn ready(&self) -> Result<Ready, AppError> {
        let settings = self.config.platform.as_ref().ok_or_else(no_platform)?;
        let id = self.store.platform(&settings.component_appid).await?;
        if let Some(ticket) = &settings.verify_ticket {
            self.store.keep_ticket(id, ticket, true).await?;
        }
        let ticket = crate::domain::ports::TokenVault::ticket(&self.store, id).await;
        if ticket.map_err(|error| StoreError::Postgres(error.to_string()))?.is_none() {
            return Err(AppError::Input(
                "no component_verify_ticket is stored: set WXPATROL_VERIFY_TICKET once, or hand the newest one over with \
                 `printf %s \"$TICKET\" | wxpatrol ticket -`"
                    .to_owned(),
            ));
        }
        let timeouts = Timeouts { total: CALL_DEADLINE, ..Timeouts::default() };
        let wechat = Wechat::new(self.config.wechat_base_url.clone(), timeouts)
            .map_err(|error| AppError::Input(error.to_string()))?;
        let limits = self.platform_limits();
        let shared = Arc::new(SharedLimits::new(self.store.clone(), limits.clone()));
        let pace: PaceConfig =
            Endpoint::ALL.iter().map(|endpoint| (*endpoint, limits.get(endpoint).copied())).collect();
        let wire = Wire::new(wechat, Arc::new(self.store.clone()), shared, pace);
        let platform = Platform { id, component_appid: settings.component_appid.clone(), secret: settings.secret.clone() };
        Ok(Ready { platform, wire })
    }

    fn platform_limits(&self) -> HashMap<Endpoint, Limit> {
        let limit = |endpoint: &Endpoint| Some((*endpoint, self.config.limits.platform(*endpoint).limit()?));
        Endpoint::ALL.iter().filter_map(limit).collect()
    }

    /// The engine for a platform.
    #[must_use]
    pub fn patrol(&self, ready: &Ready, messages: bool) -> Patrol {
        let config = &self.config;
        let merchant_limit = |endpoint: &Endpoint| Some((*endpoint, config.limits.merchant(*endpoint).limit()?));
        let quiet_hours = config.quiet_hours.map(|hours| (hours.from, hours.until));
        let settings = PatrolSettings {
            calls_max: config.calls_max,
            call_deadline: CALL_DEADLINE,
            limits: self.platform_limits(),
            merchant_limits: Endpoint::ALL.iter().filter_map(merchant_limit).collect(),
            ask_policy: MessagePolicy {
                cooldown: config.ask_cooldown,
                messages_max: cap(config.asks_max),
                per_day: cap(config.asks_per_day),
                quiet_hours,
            },
            invite_policy: MessagePolicy {
                cooldown: INVITE_COOLDOWN,
                messages_max: None,
                per_day: None,
                quiet_hours,
            },
            patience: Patience(config.link_patience),
            hold_new: config.new_merchants == NewMerchants::Held,
            messages,
        };
        Patrol::new(self.store.clone(), ready.wire.clone(), ready.platform.clone(), settings, self.stop.clone())
    }

    /// Prints a table as the person asked for.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print(&self, table: &Table) -> Result<(), AppError> {
        table
            .write(self.format, Screen::of_stdout(), &mut std::io::stdout().lock())
            .map_err(|error| AppError::Incomplete(format!("the answer could not be printed: {error}")))
    }
}

/// A pair is not invited again within this, even by an operator's word.
const INVITE_COOLDOWN: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

fn cap(cap: Cap) -> Option<u32> {
    match cap {
        Cap::Unlimited => None,
        Cap::AtMost(count) => Some(count),
    }
}

fn copy_key(key: &SecretBox<[u8; 32]>) -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new(*secrecy::ExposeSecret::expose_secret(key)))
}

fn no_platform() -> AppError {
    AppError::Input(
        "no platform is configured: set WXPATROL_COMPONENT_APPID and WXPATROL_COMPONENT_APPSECRET (or its _FILE)".to_owned(),
    )
}
