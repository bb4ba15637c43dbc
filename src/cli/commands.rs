//! The commands and their flags. Definitions only: what a command does stands elsewhere.
//!
//! Every help text says what the command changes, and shows a line to copy.

use std::{num::NonZeroU32, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

#[cfg(feature = "demo")]
use super::rehearse::{Demo, Simulate};
use super::{
    platform::PlatformArgs,
    values::{self, Input, ListFormat, Moment},
};
use crate::{
    config,
    domain::{CheckName, Endpoint},
};

/// What `wxpatrol` is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Patrol unattended: schedules and the status server (the default)
    ///
    /// Runs until it is told to stop (SIGTERM, Ctrl-C), then lets the calls in flight finish and gives the rest back.
    /// Any number of processes may run on one database; they share the work and the limits.
    ///
    /// Example: wxpatrol run
    Run,
    /// Show what wxpatrol does, with nothing to set up
    ///
    /// Starts a private Postgres and a simulated WeChat, patrols the simulated merchants twice and prints the report.
    /// Calls no real WeChat, messages nobody, and leaves your database alone.
    ///
    /// Example: wxpatrol demo --merchants 1000
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Run the simulated WeChat alone, for rehearsals
    ///
    /// Answers the endpoints that wxpatrol calls, for made-up merchants that are the same for the same seed. Point
    /// WXPATROL_WECHAT_BASE_URL at it. Changes nothing outside its own memory.
    ///
    /// Example: wxpatrol simulate --mini-programs 10000 --limit checkmobile=50/s --latency 80ms
    #[cfg(feature = "demo")]
    Simulate(Simulate),
    /// Read the merchants that authorized the platform
    ///
    /// Reads WeChat's list and what is known about each merchant, and writes both to the database: new merchants are
    /// added, changed ones updated, and those that withdrew are marked. A merchant that did not authorize anew is asked
    /// about again after 20 hours. Messages nobody.
    ///
    /// Example: wxpatrol sync
    Sync,
    /// Take over merchants and their refresh tokens from a file
    ///
    /// Reads CSV with a header line, or one JSON object a line, and adds or updates the merchants. Tokens are sealed
    /// before they are stored. A line that cannot be used is named with its number, and then nothing is stored; so is one
    /// that opens a quote and does not close it, because a field ends on the line that it begins on.
    ///
    /// Example: wxpatrol import merchants.csv --dry-run
    Import(Import),
    /// Want official accounts linked to mini programs
    ///
    /// Writes wishes; the check `invite` sends an invitation for each once a complete reading shows that the pair is
    /// not linked yet. Wanting a pair twice is one wish. A file holds one pair a line: the official account's appid, a
    /// comma, the mini program's.
    ///
    /// Example: wxpatrol want wx1111111111111111 wx2222222222222222
    Want(Pairs),
    /// Want pairs no more
    ///
    /// Takes wishes back, so that no further invitation is sent for them. Invitations that are out already and links
    /// that exist stay as they are: WeChat lets only the administrators undo those.
    ///
    /// Example: wxpatrol unwant --from pairs.csv --dry-run
    Unwant(Pairs),
    /// Grant merchants one more ask for their phone
    ///
    /// For merchants that were asked as often as WXPATROL_ASKS_MAX allows and wait in the report `attention`. Sends
    /// nothing itself: the check `ask` does, after the cool-down and outside quiet hours. A file holds one appid a line.
    ///
    /// Example: wxpatrol ask wx2222222222222222
    Ask(Ask),
    /// Hold merchants, checks, an endpoint or a schedule
    ///
    /// What is held is left alone by every run, until it is resumed or `--until` has come. Of a held merchant the coverage
    /// counts as held whatever the run has not done before; of a held check or endpoint what is due, and the rest as it
    /// stands: fresh, or deferred and why. A merchant and a check together hold that check of that merchant only. Calls
    /// already in flight finish. The ticks of a held schedule are recorded as skipped; its open run, and runs by hand, go
    /// on. Who paused what, when and why stays in the report `hold_events`.
    ///
    /// Example: wxpatrol pause --check ask --until 2026-12-01 --note "campaign week"
    Pause(Pause),
    /// End holds
    ///
    /// Ends the holds that were set with the same words. What they held comes due as if it had never been held, under
    /// the same limits and cool-downs. A schedule goes on with its next tick. The note is kept in the report `hold_events`.
    ///
    /// Example: wxpatrol resume --check ask
    Resume(Resume),
    /// Show how things stand now
    ///
    /// The platform and the age of its ticket, open runs, the newest run of each schedule, merchants, what is due for
    /// each check, live processes, closed limits, and how much needs attention. Changes nothing.
    ///
    /// Example: wxpatrol status --json
    Status,
    /// Show everything that is known of one merchant
    ///
    /// Who it is, what wants attention, each check with when it is due, how it last ended and what the runbook says about that,
    /// its phone, its message-push configuration and what changed in it, its links, the messages that were sent, what holds it,
    /// and its failed calls. Changes nothing.
    ///
    /// Example: wxpatrol merchant wx2222222222222222 --json
    Merchant(OneMerchant),
    /// Show the schedules: last tick, next ticks, lag, pauses
    ///
    /// For each platform and schedule of this environment: when it fires and in which zone, what became of its newest
    /// tick, how many seconds late the last one began, whether it is paused, and its next five instants, in its zone and in
    /// UTC. The report `ticks` shows every tick. Changes nothing.
    ///
    /// Example: wxpatrol schedule --json
    Schedule,
    /// Show the latest runs with their coverage
    ///
    /// Changes nothing.
    ///
    /// Example: wxpatrol runs 50
    Runs(Runs),
    /// Show a report; without a name, the list of reports
    ///
    /// A report is a view in the schema `wxpatrol`, so the same rows can be had with SQL. Changes nothing.
    ///
    /// Example: wxpatrol report missing_phone --csv > missing.csv
    Report(Report),
    /// Store a verify ticket, read from stdin
    ///
    /// WeChat pushes a ticket to the platform's callback receiver every ten minutes; the receiver hands it on through
    /// this command. It is read from stdin only, because arguments show in the list of processes. The ticket is sealed
    /// before it is stored, and the newest one counts.
    ///
    /// Example: printf %s "$TICKET" | wxpatrol ticket -
    Ticket(Ticket),
    /// Add, change and list the platforms of this installation
    ///
    /// One installation can patrol several platforms, each with its own credentials, merchants, limits and breaker. The one
    /// that WXPATROL_COMPONENT_APPID names is one of them and need not be added.
    ///
    /// Example: wxpatrol platform add wx0123456789abcdef --secret-file /run/secrets/appsecret
    Platform(PlatformArgs),
    /// Erase the names of a merchant that withdrew
    ///
    /// Its nickname, its legal entity and its failed calls go; its appid, the proof of the messages that were sent and its
    /// history stay. Its tokens went when it withdrew. Refused for a merchant that still is authorized.
    ///
    /// Example: wxpatrol forget wx2222222222222222
    Forget(OneMerchant),
    /// Bring the database's schema up to date
    ///
    /// Applies the migrations that are missing, in order, each in a transaction where Postgres allows it. May be
    /// repeated, and waits for another process that migrates. Every command that opens the database does the same
    /// first, so this one is for doing it at a moment of your choice.
    ///
    /// With --roles it also makes the roles wxpatrol_worker (reads and writes rows, changes no schema) and
    /// wxpatrol_reader (reads the views), or gives them their rights again. Logins are put into them by hand.
    ///
    /// Example: wxpatrol migrate --print | less
    Migrate(Migrate),
    /// Show and replace the keys that tokens are sealed with
    ///
    /// To replace the key: give every process the new one as WXPATROL_ENCRYPTION_KEY and the present one as
    /// WXPATROL_ENCRYPTION_KEYS_OLD, run `wxpatrol keys rotate` once, and take the old one away when `wxpatrol keys list`
    /// shows no value of it.
    ///
    /// Example: wxpatrol keys list
    Keys(Keys),
    /// Examine settings, database, key, tickets and WeChat, and say what to do
    ///
    /// One line for each thing: ok, warn or fault, and what to do about it. Makes one harmless call to WeChat for each
    /// platform (who authorized it), for which a token may be fetched as every command would. Messages nobody, migrates
    /// nothing, and stores nothing but what each start does. The exit code is 2 when there is a fault, and 0 otherwise.
    ///
    /// Example: wxpatrol doctor
    Doctor,
    /// Show every setting: its value, where it came from, what it means
    ///
    /// Reads the environment only and changes nothing. Secrets are shown as `set` or `not set`. With faults in the
    /// environment, all of them are listed and the exit code is 2.
    ///
    /// Example: wxpatrol config
    Config,
}

/// One run by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "One run by hand")]
pub struct Once {
    /// Do one run of what is due now, print its coverage and end
    #[arg(long)]
    pub(super) once: bool,
    /// Only this check (repeatable); all of them otherwise
    #[arg(long = "check", value_name = "CHECK", requires = "once", value_parser = values::check_parser())]
    pub checks: Vec<CheckName>,
    /// Only this merchant (repeatable); all of them otherwise
    #[arg(long = "merchant", value_name = "APPID", requires = "once", value_parser = config::appid)]
    pub merchants: Vec<String>,
    /// Also what is not due yet; cool-downs, holds and closed limits stay
    #[arg(long, requires = "once")]
    pub all: bool,
    /// Read only: message nobody, and list who would be messaged
    #[arg(long, requires = "once")]
    pub dry_run: bool,
    /// End after this much time (24h when not given); what is left is deferred, and the exit code is 1
    #[arg(long, value_name = "TIME", requires = "once", value_parser = values::some_time)]
    pub deadline: Option<Duration>,
    /// Exit with 1 when a merchant's item ended in this bucket
    #[arg(long, value_name = "BUCKET", requires = "once")]
    pub fail_on: Option<FailOn>,
}

/// A bucket of the coverage that fails the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// At least one item failed.
    Failed,
}

/// The one merchant that a command is about.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OneMerchant {
    /// The merchant
    #[arg(value_name = "APPID", value_parser = config::appid)]
    pub appid: String,
}

/// Flags of `import`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Import {
    /// The file, or - for stdin
    #[arg(value_name = "FILE|-")]
    pub input: Input,
    /// The form of the file; told by its ending (.csv, .jsonl) otherwise
    #[arg(long)]
    pub format: Option<ListFormat>,
    /// Read and check everything, store nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Pairs of an official account and a mini program: one on the command line, or a list.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pairs {
    /// The official account
    #[arg(value_name = "OFFICIAL_ACCOUNT", value_parser = config::appid, requires = "mini_program", required_unless_present = "from")]
    pub official_account: Option<String>,
    /// The mini program
    #[arg(value_name = "MINI_PROGRAM", value_parser = config::appid)]
    pub mini_program: Option<String>,
    /// A list of pairs: a file, or - for stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["official_account", "mini_program"])]
    pub from: Option<Input>,
    /// Show what would change, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `ask`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Ask {
    /// The merchant
    #[arg(value_name = "APPID", value_parser = config::appid, required_unless_present = "from", conflicts_with = "from")]
    pub merchant: Option<String>,
    /// A list of appids: a file, or - for stdin
    #[arg(long, value_name = "FILE|-")]
    pub from: Option<Input>,
}

/// What a hold is about. At least one of the flags is given.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group(ArgGroup::new("held").args(["merchants", "from", "checks", "endpoints", "schedules"]).required(true).multiple(true)))]
pub struct Held {
    /// This merchant (repeatable)
    #[arg(long = "merchant", value_name = "APPID", value_parser = config::appid, conflicts_with = "endpoints")]
    pub merchants: Vec<String>,
    /// The merchants of a list, one appid a line: a file, or - for stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["merchants", "endpoints"])]
    pub from: Option<Input>,
    /// This check (repeatable)
    #[arg(long = "check", value_name = "CHECK", value_parser = values::check_parser(), conflicts_with = "endpoints")]
    pub checks: Vec<CheckName>,
    /// This endpoint, for every merchant and check (repeatable)
    #[arg(long = "endpoint", value_name = "ENDPOINT", value_parser = values::endpoint_parser())]
    pub endpoints: Vec<Endpoint>,
    /// The ticks of this schedule: a check's name, or sync (repeatable)
    #[arg(long = "schedule", value_name = "SCHEDULE", value_parser = values::schedule_parser(), conflicts_with_all = ["merchants", "from", "checks", "endpoints"])]
    pub schedules: Vec<String>,
}

/// Flags of `pause`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pause {
    /// What is held.
    #[command(flatten)]
    pub held: Held,
    /// Why, for whoever finds it later
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// When it ends by itself: 2h, 7d, 2026-12-01, "2026-12-01 08:00" (in WXPATROL_TIME_ZONE)
    #[arg(long, value_name = "WHEN")]
    pub until: Option<Moment>,
}

/// Flags of `resume`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Resume {
    /// What is held no more.
    #[command(flatten)]
    pub held: Held,
    /// Why, for whoever finds it later
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// Arguments of `runs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Runs {
    /// How many
    #[arg(value_name = "N", default_value = "20", value_parser = values::count)]
    pub count: NonZeroU32,
}

/// Arguments of `report`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Report {
    /// The report's name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Arguments of `ticket`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Ticket {
    /// Always - : the ticket comes through stdin
    #[arg(value_name = "-")]
    pub stdin: String,
}

/// Flags of `migrate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Migrate {
    /// Print the SQL instead, for a review; needs no database and changes nothing
    #[arg(long)]
    pub print: bool,
    /// Also make the roles wxpatrol_worker and wxpatrol_reader, with their rights in this database
    #[arg(long)]
    pub roles: bool,
}

/// What is done with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Keys {
    /// What is to be done.
    #[command(subcommand)]
    pub action: KeysAction,
}

/// What is done with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum KeysAction {
    /// Show which keys are known and in use, and how many values each has sealed
    ///
    /// A key is shown by its id, the beginning of its SHA-256. Reads every sealed value's first bytes; changes nothing.
    ///
    /// Example: wxpatrol keys list
    List,
    /// Put WXPATROL_ENCRYPTION_KEY in use, and seal with it what other keys have sealed
    ///
    /// Works in small batches while other processes work; what they store meanwhile wins. Refused while a live process
    /// lacks the key. May be interrupted and repeated; the exit code is 1 while something is left.
    ///
    /// Example: wxpatrol keys rotate
    Rotate,
}
