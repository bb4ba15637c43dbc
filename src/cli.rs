//! The command line: what may be asked of the program, and how.
//!
//! Definitions and rules of form only. Nothing here reads the environment, a file or a clock, and nothing is done.

mod commands;
mod platform;
#[cfg(feature = "demo")]
mod rehearse;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, error::ErrorKind};

pub use commands::{
    Ask, Command, FailOn, Held, Import, Keys, KeysAction, Migrate, Once, OneMerchant, Pairs, Pause, Report, Resume,
    Runs, Ticket,
};
pub use platform::{OwnLimit, PlatformAdd, PlatformArgs, PlatformCommand, PlatformName, Scope};
#[cfg(feature = "demo")]
pub use rehearse::{Demo, Simulate};
#[cfg(feature = "demo")]
pub use values::EndpointLimit;
pub use values::{Input, ListFormat, Moment};

use crate::{config, ops::print::Format};

const EXIT_CODES: &str = "\
Exit codes:
  0  the run ended and its coverage adds up (a failed merchant is a finding; see --fail-on)
  1  incomplete or interrupted
  2  could not start: usage, configuration or database
  3  halted by a fault of the whole platform, such as its secret or WeChat's allow list

Settings come from the environment: `wxpatrol config` lists them with what is in effect, .env.example explains each.

Examples:
  wxpatrol --once --dry-run              who would be messaged right now
  wxpatrol --once --check phone --all    read every phone again, due or not
  wxpatrol report attention              who must be looked at, and what to do";

/// Patrols every merchant of a WeChat third-party platform
///
/// Asks for missing phones, keeps the history of the message-push configuration, sends link invitations and follows
/// them until they are decided. Without a command it patrols unattended: schedules decide when, Postgres decides what
/// is due, limits decide how fast. With --once it does one run on the same road and ends.
#[derive(Debug, Parser)]
#[command(name = "wxpatrol", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    output: Output,
    /// For this platform only; where several are known, commands that change something want it
    #[arg(long, global = true, value_name = "APPID", value_parser = config::appid, help_heading = "Several platforms")]
    platform: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// Print JSON: an array with one object a row; an object of such arrays where several tables are shown
    #[arg(long, global = true, conflicts_with = "csv")]
    json: bool,
    /// Print CSV with a header line; of several tables each after a line `# NAME`
    #[arg(long, global = true)]
    csv: bool,
}

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// What is to be done.
    pub action: Action,
    /// How rows are printed.
    pub format: Format,
    /// The platform that it is for; `None`: nobody said.
    pub platform: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `--once`: one run by hand.
    Once(Once),
    /// A command; [`Command::Run`] when none was given.
    Command(Command),
}

impl Invocation {
    /// Reads the arguments, the program's name first.
    ///
    /// # Errors
    ///
    /// What is wrong with them, or the help or version that was asked for; [`clap::Error::exit`] prints either and
    /// ends with 2 or 0.
    pub fn read(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut definition = Line::command();
        let mut matches = definition.try_get_matches_from_mut(arguments)?;
        let line = Line::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut definition))?;
        let format = match (line.output.json, line.output.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            (false, false) => Format::Table,
        };
        let action = match (line.once.once, line.command) {
            (true, None) => Action::Once(line.once),
            (true, Some(_)) => {
                let message = "--once is a run of its own and cannot be used with a command";
                return Err(definition.error(ErrorKind::ArgumentConflict, message));
            }
            (false, None) => Action::Command(Command::Run),
            (false, Some(command)) => Action::Command(command),
        };
        if let Action::Command(Command::Import(import)) = &action
            && import.list_format().is_none()
        {
            let message = "say with --format csv or --format jsonl what the list is; its name does not tell";
            return Err(definition.error(ErrorKind::MissingRequiredArgument, message));
        }
        if let Action::Command(Command::Ticket(ticket)) = &action
            && ticket.stdin != "-"
        {
            // Not repeated: what stands there is a ticket.
            let message = "the ticket is read from stdin, because arguments show in the list of processes: printf %s \
                           \"$TICKET\" | wxpatrol ticket -";
            return Err(definition.error(ErrorKind::InvalidValue, message));
        }
        if let (Action::Command(command), Some(_)) = (&action, &line.platform)
            && !command.is_for_a_platform()
        {
            let message = "this command is about no platform in particular: leave --platform out";
            return Err(definition.error(ErrorKind::ArgumentConflict, message));
        }
        Ok(Self { action, format, platform: line.platform })
    }
}

impl Invocation {
    /// Whether a person looks at the answer, and the log is beside the point: every command but the unattended ones.
    #[must_use]
    pub fn shows_a_person(&self) -> bool {
        match &self.action {
            Action::Once(_) | Action::Command(Command::Run | Command::Sync) => false,
            Action::Command(_) => true,
        }
    }
}

impl Command {
    /// Whether it can be for one platform of several.
    fn is_for_a_platform(&self) -> bool {
        match self {
            Self::Run
            | Self::Sync
            | Self::Import(_)
            | Self::Want(_)
            | Self::Unwant(_)
            | Self::Ask(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Status
            | Self::Merchant(_)
            | Self::Forget(_)
            | Self::Doctor
            | Self::Schedule
            | Self::Runs(_)
            | Self::Report(_)
            | Self::Ticket(_) => true,
            Self::Platform(_) | Self::Keys(_) | Self::Migrate(_) | Self::Config => false,
            #[cfg(feature = "demo")]
            Self::Demo(_) | Self::Simulate(_) => false,
        }
    }
}

impl Import {
    /// The form of the list: as said, or as the file's ending tells. Never `None` after [`Invocation::read`].
    #[must_use]
    pub fn list_format(&self) -> Option<ListFormat> {
        self.format.or_else(|| ListFormat::of(&self.input))
    }
}
