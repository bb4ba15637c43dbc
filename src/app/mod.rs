//! Puts the parts together: configuration, Postgres, the wire, the engine. Knows every module, known by none but `main`.

#[cfg(feature = "demo")]
mod demo;
mod import;
mod living;
mod merchants;
mod metric_words;
pub mod once;
mod operators;
#[cfg(feature = "demo")]
mod private;
pub mod shutdown;
#[cfg(feature = "demo")]
mod simulate;
mod status_server;
mod token_source;
mod unattended;

use std::{collections::HashMap, sync::Arc};

use secrecy::SecretBox;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Action, Command, Invocation},
    config::{CALL_DEADLINE, Cap, Config, ConfigError, NewMerchants},
    domain::{CheckName, Endpoint, Limit, PlatformId, link::Patience, message::MessagePolicy},
    ops::{
        print::{self, Column, Format, Kind, Screen, Table},
        report, status,
    },
    patrol::{Patrol, PatrolSettings},
    store::{Sealer, Store, StoreError, StoreSettings, migrate, slices::SharedLimits},
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
    // These need no configuration: they bring their own world, or show what is wrong with it.
    match &invocation.action {
        #[cfg(feature = "demo")]
        Action::Command(Command::Simulate(flags)) => return simulate::serve(flags, stop).await,
        #[cfg(feature = "demo")]
        Action::Command(Command::Demo(flags)) => return demo::show(flags, invocation.format, stop).await,
        Action::Command(Command::Migrate(flags)) if flags.print => {
            print!("{}", migrate::printed());
            return Ok(Exit::Done);
        }
        Action::Command(_) | Action::Once(_) => {}
    }
    let config = Config::from_env()?;
    let format = invocation.format;
    let command = match invocation.action {
        Action::Once(once) => return App::open(config, format, stop, "once").await?.once(&once).await,
        Action::Command(command) => command,
    };
    match &command {
        Command::Config => {
            print_table(&settings(&config), format)?;
            Ok(Exit::Done)
        }
        Command::Run => App::open(config, format, stop, "run").await?.run_unattended().await,
        Command::Sync => App::open(config, format, stop, "sync").await?.sync().await,
        Command::Import(_)
        | Command::Want(_)
        | Command::Unwant(_)
        | Command::Ask(_)
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Status
        | Command::Runs(_)
        | Command::Report(_)
        | Command::Ticket(_)
        | Command::Migrate(_) => App::open(config, format, stop, "operator").await?.operate(&command).await,
        #[cfg(feature = "demo")]
        Command::Demo(_) | Command::Simulate(_) => Ok(Exit::Done),
    }
}

/// The settings as a table.
fn settings(config: &Config) -> Table {
    let columns = ["name", "value", "source", "meaning"].map(|name| Column::new(name, Kind::Text));
    let rows = config.settings().iter().map(|setting| {
        let texts =
            [setting.name.clone(), setting.value.clone(), setting.source.name().to_owned(), setting.meaning.clone()];
        texts.into_iter().map(Some).collect()
    });
    Table { title: None, columns: columns.into(), rows: rows.collect() }
}

fn print_table(table: &Table, format: Format) -> Result<(), AppError> {
    table.write(format, Screen::of_stdout(), &mut std::io::stdout().lock()).or_else(unprinted)
}

/// Whoever reads our answer may have seen enough (`| head`): that is no failure.
fn unprinted(error: std::io::Error) -> Result<(), AppError> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(AppError::Incomplete(format!("the answer could not be printed: {error}")))
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
    /// No platform is configured, there is no ticket to get a token with, or two systems would keep the tokens.
    pub async fn ready(&self) -> Result<Ready, AppError> {
        let settings = self.config.platform.as_ref().ok_or_else(no_platform)?;
        let id = self.store.platform(&settings.component_appid).await?;
        let external = self.external_tokens(id, &settings.component_appid).await?;
        if external.is_none() {
            self.own_ticket(id, settings.verify_ticket.as_ref()).await?;
        }
        let timeouts = Timeouts { total: CALL_DEADLINE, ..Timeouts::default() };
        let wechat = Wechat::new(self.config.wechat_base_url.clone(), timeouts)
            .map_err(|error| AppError::Input(error.to_string()))?;
        let limits = self.platform_limits();
        let shared = Arc::new(SharedLimits::new(self.store.clone(), limits.clone()));
        let pace: PaceConfig =
            Endpoint::ALL.iter().map(|endpoint| (*endpoint, limits.get(endpoint).copied())).collect();
        let wire = match external {
            Some(source) => Wire::with_external_tokens(wechat, source, shared, pace),
            None => Wire::new(wechat, Arc::new(self.store.clone()), shared, pace),
        };
        let platform =
            Platform { id, component_appid: settings.component_appid.clone(), secret: settings.secret.clone() };
        Ok(Ready { platform, wire })
    }

    fn platform_limits(&self) -> HashMap<Endpoint, Limit> {
        let limit = |endpoint: &Endpoint| Some((*endpoint, self.config.limits.platform(*endpoint).limit()?));
        Endpoint::ALL.iter().filter_map(limit).collect()
    }

    /// What limits the messages of a check; `None`: it messages nobody.
    fn policy(&self, check: CheckName) -> Option<MessagePolicy> {
        let quiet_hours = self.config.quiet_hours.map(|hours| (hours.from, hours.until));
        match check {
            CheckName::Ask => Some(MessagePolicy {
                cooldown: self.config.ask_cooldown,
                messages_max: cap(self.config.asks_max),
                per_day: cap(self.config.asks_per_day),
                quiet_hours,
            }),
            CheckName::Invite => {
                Some(MessagePolicy { cooldown: INVITE_COOLDOWN, messages_max: None, per_day: None, quiet_hours })
            }
            CheckName::Phone | CheckName::Callback | CheckName::Links => None,
        }
    }

    /// The engine for a platform. It ends with the app, or by itself.
    #[must_use]
    pub fn patrol(&self, ready: &Ready, messages: bool) -> Patrol {
        let config = &self.config;
        let merchant_limit = |endpoint: &Endpoint| Some((*endpoint, config.limits.merchant(*endpoint).limit()?));
        let settings = PatrolSettings {
            calls_max: config.calls_max,
            call_deadline: CALL_DEADLINE,
            limits: self.platform_limits(),
            merchant_limits: Endpoint::ALL.iter().filter_map(merchant_limit).collect(),
            ask_policy: self.policy(CheckName::Ask).unwrap_or_else(silence),
            invite_policy: self.policy(CheckName::Invite).unwrap_or_else(silence),
            patience: Patience(config.link_patience),
            hold_new: config.new_merchants == NewMerchants::Held,
            stuck_after: STUCK_AFTER,
            messages,
        };
        Patrol::new(self.store.clone(), ready.wire.clone(), ready.platform.clone(), settings, self.stop.child_token())
    }

    /// Prints a table as the person asked for.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print(&self, table: &Table) -> Result<(), AppError> {
        print_table(table, self.format)
    }

    /// Prints several tables; as JSON they are one object with a field for each.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print_all(&self, tables: &[(&str, Table)]) -> Result<(), AppError> {
        print::write_all(tables, self.format, Screen::of_stdout(), &mut std::io::stdout().lock()).or_else(unprinted)
    }

    /// The commands that only read or write rows.
    async fn operate(&self, command: &Command) -> Result<Exit, AppError> {
        match command {
            Command::Import(flags) => return self.import(flags).await,
            Command::Want(flags) => return self.want(flags).await,
            Command::Unwant(flags) => return self.unwant(flags).await,
            Command::Ask(flags) => return self.grant_asks(flags).await,
            Command::Pause(flags) => return self.pause(flags).await,
            Command::Resume(flags) => return self.resume(flags).await,
            Command::Ticket(_) => return self.keep_ticket().await,
            Command::Migrate(_) => eprintln!("migrate: the schema is up to date"),
            Command::Status => self.print_all(&status::status(&self.store).await?)?,
            Command::Runs(flags) => self.print(&report::runs(&self.store, flags.count.get()).await?)?,
            Command::Report(flags) => match &flags.name {
                Some(name) => {
                    let table = report::report(&self.store, name).await?.ok_or_else(|| {
                        AppError::Input(format!("there is no report {name:?}: `wxpatrol report` lists them"))
                    })?;
                    self.print(&table)?;
                }
                None => self.print(&report::list(&self.store).await?)?,
            },
            Command::Run | Command::Sync | Command::Config => {}
            #[cfg(feature = "demo")]
            Command::Demo(_) | Command::Simulate(_) => {}
        }
        Ok(Exit::Done)
    }
}

/// An unattended process that could work and does not for this long ends itself.
const STUCK_AFTER: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// A pair is not invited again within this, even by an operator's word.
const INVITE_COOLDOWN: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// A policy that sends nothing.
fn silence() -> MessagePolicy {
    MessagePolicy { cooldown: INVITE_COOLDOWN, messages_max: Some(0), per_day: Some(0), quiet_hours: None }
}

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
        "no platform is configured: set WXPATROL_COMPONENT_APPID and WXPATROL_COMPONENT_APPSECRET (or its _FILE)"
            .to_owned(),
    )
}
