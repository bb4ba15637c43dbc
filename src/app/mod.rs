//! Puts the parts together: configuration, Postgres, the wire, the engine. Knows every module, known by none but `main`.

#[macro_use]
mod tell;

mod counted;
#[cfg(feature = "demo")]
mod demo;
mod did;
mod doctor;
mod engine;
mod exit;
mod fleet;
mod import;
mod inputs;
mod keys;
mod living;
mod merchants;
mod metric_words;
pub mod once;
mod one_merchant;
mod operators;
mod platform_command;
pub mod platforms;
#[cfg(feature = "demo")]
mod private;
mod quotes;
mod receiver;
mod schedules;
mod schema;
pub mod shutdown;
#[cfg(feature = "demo")]
mod simulate;
mod status_server;
mod token_source;
mod unattended;
mod watch;

use std::{io::Write as _, path::PathBuf, sync::OnceLock};

use secrecy::SecretBox;

use tokio_util::sync::CancellationToken;

pub use engine::Ready;
pub use exit::{AppError, Exit};
pub use tell::tell;

use crate::{
    cli::{Action, Command, Invocation},
    config::{Config, ConfigError},
    ops::{
        print::{self, Column, Format, Kind, Screen, Table},
        report, status,
    },
    store::{ANSWER_MAX, Sealer, Store, StoreSettings},
    wechat::Wechat,
};

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
    /// The platform that `--platform` names.
    named: Option<String>,
    /// The HTTP client that all platforms share.
    wechat: OnceLock<Wechat>,
    /// Changes when this process has noted an authorization event to be worked on.
    events: tokio::sync::watch::Sender<()>,
    #[cfg(feature = "demo")]
    _private: Option<crate::private_postgres::PrivatePostgres>,
}

/// What a command is for that only shows or says something: it leaves the runbook as it is.
const OPERATOR: &str = "operator";

/// Does what the command line asks for, with the configuration as it was read once.
///
/// # Errors
/// One sentence that names what to do, and the exit code.
pub async fn run(
    invocation: Invocation,
    config: Result<Config, ConfigError>,
    stop: CancellationToken,
) -> Result<Exit, AppError> {
    // These need no configuration: they bring their own world, or show what is wrong with it.
    match &invocation.action {
        #[cfg(feature = "demo")]
        Action::Command(Command::Simulate(flags)) => return simulate::serve(flags, stop).await,
        #[cfg(feature = "demo")]
        Action::Command(Command::Demo(flags)) => return demo::show(flags, invocation.format, stop).await,
        Action::Command(Command::Migrate(flags)) if flags.print => {
            printed(&schema::printed(flags))?;
            return Ok(Exit::Done);
        }
        Action::Command(Command::Doctor) => {
            return doctor::examine(config, invocation.format, invocation.platform, stop).await;
        }
        Action::Command(_) | Action::Once(_) => {}
    }
    let config = config?;
    let purpose = match &invocation.action {
        Action::Once(_) => "once",
        Action::Command(Command::Run) => "run",
        Action::Command(Command::Sync) => "sync",
        Action::Command(Command::Config) => {
            print_table(&settings(&config), invocation.format)?;
            return Ok(Exit::Done);
        }
        Action::Command(_) => OPERATOR,
    };
    let app = App::open(config, invocation.format, stop, purpose).await?.of(invocation.platform);
    match &invocation.action {
        Action::Once(once) => app.to_the_end(app.once(once)).await,
        Action::Command(Command::Run) => app.to_the_end(app.run_unattended()).await,
        Action::Command(Command::Sync) => app.to_the_end(app.sync()).await,
        // These end in order by themselves: one says what is left, the other leaves no step half done.
        Action::Command(command @ (Command::Keys(_) | Command::Migrate(_))) => app.operate(command).await,
        Action::Command(command) => app.operated(command.clone()).await,
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

/// Prints what is no table.
fn printed(text: &str) -> Result<(), AppError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).or_else(unprinted)
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
        let (app, key_made) = Self::connected(config, format, stop, purpose).await?;
        app.store.migrate().await?;
        if purpose != OPERATOR {
            app.store.renew_runbook().await?;
        }
        if app.store.keys().is_ok() {
            let checked = keys::check(&app.store, purpose).await;
            #[cfg(feature = "demo")]
            let checked = checked.map_err(|error| private::key_is_gone(key_made.as_deref(), error));
            #[cfg(not(feature = "demo"))]
            let _: Option<PathBuf> = key_made;
            checked?;
        }
        app.store.read_clock().await?;
        Ok(app)
    }

    /// The same without looking at the schema and the key; and where a key was made just now.
    async fn connected(
        config: Config,
        format: Format,
        stop: CancellationToken,
        purpose: &'static str,
    ) -> Result<(Self, Option<PathBuf>), AppError> {
        let settings = StoreSettings {
            connections_max: config.db_connections_max,
            lease: config.lease,
            answer_max: ANSWER_MAX,
            purpose,
        };
        #[cfg(feature = "demo")]
        let private::Database { url, key, server, key_made } = private::database(&config).await?;
        #[cfg(not(feature = "demo"))]
        let (url, key, key_made) = (
            config.database_url.clone().ok_or_else(|| AppError::Input("set DATABASE_URL".to_owned()))?,
            config.encryption_key.as_ref().map(copy_key),
            None,
        );
        let sealer = key.as_ref().map(|key| Sealer::with_others(key, &config.encryption_keys_old));
        let store = Store::connect(secrecy::ExposeSecret::expose_secret(&url), &settings, sealer).await?;
        let app = Self {
            config,
            store,
            format,
            stop,
            named: None,
            wechat: OnceLock::new(),
            events: tokio::sync::watch::Sender::default(),
            #[cfg(feature = "demo")]
            _private: server,
        };
        Ok((app, key_made))
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

    /// Does one of the commands that only read or write rows, and leaves it on a signal. Some wait for standard input, which
    /// nothing interrupts, so the command has a task of its own.
    async fn operated(self, command: Command) -> Result<Exit, AppError> {
        let stop = self.stop.clone();
        let mut work = tokio::spawn(async move { self.operate(&command).await });
        tokio::select! {
            biased;
            done = &mut work => done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
            () = stop.cancelled() => {
                work.abort();
                Err(AppError::Incomplete(
                    "stopped by a signal; see what was stored by then before you give the command again".to_owned(),
                ))
            }
        }
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
            Command::Platform(flags) => return self.platform_command(&flags.command).await,
            Command::Migrate(flags) => self.migrated(flags).await?,
            Command::Keys(keys) => return self.keys(keys.action).await,
            Command::Status => {
                let platform = self.named_platform().await?;
                self.print_all(&status::status(&self.store, platform.as_deref()).await?)?;
            }
            Command::Merchant(one) => return self.merchant(&one.appid).await,
            Command::Forget(one) => return self.forget(&one.appid).await,
            Command::Schedule => self.print_all(&self.schedule_tables().await?)?,
            Command::Runs(flags) => {
                let platform = self.named_platform().await?;
                self.print(&report::runs(&self.store, platform.as_deref(), flags.count.get()).await?)?;
            }
            Command::Report(flags) => match &flags.name {
                Some(name) => {
                    let platform = self.named_platform().await?;
                    let table = report::report(&self.store, platform.as_deref(), name).await?.ok_or_else(|| {
                        AppError::Input(format!("there is no report {name:?}: `wxpatrol report` lists them"))
                    })?;
                    self.print(&table)?;
                }
                None => self.print(&report::list(&self.store).await?)?,
            },
            Command::Run | Command::Sync | Command::Doctor | Command::Config => {}
            #[cfg(feature = "demo")]
            Command::Demo(_) | Command::Simulate(_) => {}
        }
        Ok(Exit::Done)
    }
}

fn copy_key(key: &SecretBox<[u8; 32]>) -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new(*secrecy::ExposeSecret::expose_secret(key)))
}
