//! Postgres: the only module that holds SQL. Every statement is a file in `sql/`, and every transaction ends before any
//! HTTP begins.
//!
//! Each connection has `wxpatrol_data` as its search path, so that the statements read as they would in psql after
//! `set search_path to wxpatrol_data`. Postgres's clock decides (`clock()`); [`Store::now`] is its value carried
//! forward on the process's own monotonic clock.

pub mod breaker;
pub mod claim;
pub mod coverage;
#[cfg(feature = "demo")]
pub mod databases;
pub mod events;
pub mod examine;
mod failures;
pub mod foreign;
pub mod identity;
pub mod intend;
pub mod keys;
pub mod lease;
pub mod limits;
pub mod listing;
pub mod merchant_list;
pub mod merchants;
pub mod migrate;
pub mod operator;
pub mod plan;
pub mod platforms;
mod pool;
pub mod process;
pub mod record;
pub mod recovery;
pub mod results;
pub mod retention;
pub mod roles;
pub mod rotation;
pub mod runs;
pub mod seal;
pub mod slices;
pub mod status;
pub mod tickets;
pub mod ticks;
pub mod vault;
pub mod views;

#[cfg(test)]
#[cfg(feature = "demo")]
#[path = "../../tests/it/world/postgres.rs"]
pub(crate) mod testing;
#[cfg(test)]
#[cfg(feature = "demo")]
mod tests;

use std::{
    str::FromStr,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use uuid::Uuid;

pub use seal::{Sealer, SealingKey};

use pool::{Pool, Transaction};

/// What went wrong towards Postgres, named for who acts.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres could not be reached or refused; the run waits or ends.
    #[error("{0}")]
    Postgres(String),
    /// Postgres answers, but nothing can be written there: it is a replica, or read-only. The run waits or ends.
    #[error("nothing can be written to this Postgres: {0}")]
    ReadOnly(String),
    /// Postgres refused the data itself, such as a NUL character in a text: a batch is halved until the bad row stands
    /// alone.
    #[error("Postgres refuses the data: {0}")]
    Data(String),
    /// Two transactions stood in each other's way: the same work may be repeated at once.
    #[error("transactions collided: {0}")]
    Collision(String),
    /// The database is not what it must be; a person must look.
    #[error("{0}")]
    Inconsistent(String),
}

impl From<sqlx::Error> for StoreError {
    /// Keeps Postgres's own words but never its detail line: a unique violation repeats the key's values there.
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let text = format!("{} (SQLSTATE {code})", database.message());
                match code.get(..2) {
                    _ if code == pool::READ_ONLY => Self::ReadOnly(text),
                    // 22: data exception; 23: integrity; 54: program limit exceeded.
                    Some("22" | "23" | "54") => Self::Data(text),
                    Some("40") => Self::Collision(text),
                    _ => Self::Postgres(text),
                }
            }
            sqlx::Error::Encode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::Inconsistent(error.to_string())
            }
            sqlx::Error::PoolTimedOut => Self::Postgres(
                "no connection to Postgres came free in time: all are busy, or Postgres refuses more; compare \
                 WXPATROL_DB_CONNECTIONS_MAX with what it allows this role"
                    .to_owned(),
            ),
            sqlx::Error::Io(io) => Self::Postgres(format!("the connection to Postgres broke: {io}")),
            _ => Self::Postgres(error.to_string()),
        }
    }
}

/// How long Postgres is waited for, when nobody says otherwise. See [`StoreSettings::answer_max`].
pub const ANSWER_MAX: Duration = Duration::from_secs(120);

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Connections at most.
    pub connections_max: u32,
    /// How long a claim belongs to its process.
    pub lease: Duration,
    /// How long a statement may take to answer, and from row to row, before its connection is given up as half open. Longer
    /// than the slowest statement, of which the end of a large run has one.
    pub answer_max: Duration,
    /// What runs here, for the list of processes: `run`, `once`, ...
    pub purpose: &'static str,
}

/// Lets Postgres notice within a minute that this process's machine is gone, or that this process was stopped, so that no
/// row stays locked for others: by itself it would wait for hours.
const MINDS_THE_DEAD: [(&str, &str); 5] = [
    ("idle_in_transaction_session_timeout", "30s"),
    ("tcp_keepalives_idle", "20"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "50s"),
];

/// Postgres, as one process uses it. Clones share the pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    /// How to reach the same Postgres as whoever else has this role would: nothing of ours is set.
    plain: Arc<PgConnectOptions>,
    sealer: Option<Sealer>,
    process_id: Uuid,
    lease: Duration,
    purpose: &'static str,
    clock: Arc<RwLock<ClockReading>>,
    reach: Arc<identity::Reach>,
}

/// Postgres's clock at one moment of ours.
#[derive(Debug, Clone, Copy)]
struct ClockReading {
    postgres: DateTime<Utc>,
    /// Before it was asked for.
    taken: Instant,
    /// When it was here.
    answered: Instant,
}

impl ClockReading {
    fn new(postgres: DateTime<Utc>, taken: Instant) -> Self {
        Self { postgres, taken, answered: Instant::now() }
    }
}

impl Store {
    /// Connects once, so that a wrong address is said at once, and opens the pool.
    ///
    /// # Errors
    /// One sentence that names what to look at; the address is shown without its password.
    pub async fn connect(url: &str, settings: &StoreSettings, sealer: Option<Sealer>) -> Result<Self, StoreError> {
        let plain = PgConnectOptions::from_str(url)
            .map_err(|error| StoreError::Postgres(format!("DATABASE_URL is no Postgres address: {error}")))?;
        let options = plain
            .clone()
            .application_name("wxpatrol")
            // No statement here runs long enough to be worth compiling.
            .options([("search_path", "wxpatrol_data"), ("jit", "off")])
            .options(MINDS_THE_DEAD)
            .log_statements(tracing::log::LevelFilter::Trace)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(5));
        let shown = shown_address(&options);
        let attempt = tokio::time::timeout(Duration::from_secs(5), options.connect()).await;
        let probe = match attempt {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                let error = StoreError::from(error);
                return Err(StoreError::Postgres(format!(
                    "cannot connect to Postgres at {shown}: {error}; check DATABASE_URL, and that Postgres runs there"
                )));
            }
            Err(_) => {
                return Err(StoreError::Postgres(format!(
                    "cannot connect to Postgres at {shown}: no answer in 5 s; check DATABASE_URL, and that Postgres runs there"
                )));
            }
        };
        sqlx::Connection::close(probe).await.ok();
        Ok(Self {
            pool: Pool::new(options, settings.connections_max, settings.answer_max),
            plain: Arc::new(plain),
            sealer,
            process_id: Uuid::now_v7(),
            lease: settings.lease,
            purpose: settings.purpose,
            clock: Arc::new(RwLock::new(ClockReading::new(Utc::now(), Instant::now()))),
            reach: Arc::default(),
        })
    }

    /// Who this process is in `process`, `item` and `intent`.
    #[must_use]
    pub fn process_id(&self) -> Uuid {
        self.process_id
    }

    /// How long a claim belongs to its process.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Postgres's clock as last read, carried forward on this machine's monotonic clock.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let reading = *self.clock.read().expect("nobody panics while holding the clock");
        reading.postgres + TimeDelta::from_std(reading.taken.elapsed()).unwrap_or_default()
    }

    /// The same, and surely not ahead of it: for questions, whose answers count for nothing once something newer is known.
    #[must_use]
    pub fn now_at_least(&self) -> DateTime<Utc> {
        let reading = *self.clock.read().expect("nobody panics while holding the clock");
        reading.postgres + TimeDelta::from_std(reading.answered.elapsed()).unwrap_or_default()
    }

    /// Reads Postgres's clock.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn read_clock(&self) -> Result<DateTime<Utc>, StoreError> {
        let asked = Instant::now();
        let postgres: DateTime<Utc> = sqlx::query_scalar(include_str!("sql/clock.sql")).fetch_one(&self.pool).await?;
        self.keep_clock(postgres, asked);
        Ok(postgres)
    }

    /// Makes sure that Postgres can be written to. An address that was moved, or a fail-over, may lead to a replica for a
    /// while, where everything can be read and all work stands still.
    ///
    /// # Errors
    /// It can not, and why; or Postgres did not answer.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        let why: Option<String> = sqlx::query_scalar(include_str!("sql/read_only.sql")).fetch_one(&self.pool).await?;
        let Some(why) = why else { return Ok(()) };
        self.pool.found_read_only();
        Err(StoreError::ReadOnly(why))
    }

    fn keep_clock(&self, postgres: DateTime<Utc>, taken: Instant) {
        *self.clock.write().expect("nobody panics while holding the clock") = ClockReading::new(postgres, taken);
    }

    /// A transaction for statements that join batches to tables by key.
    async fn begin_by_key(&self) -> Result<Transaction, StoreError> {
        Ok(self.pool.begin_with(include_str!("sql/begin_by_key.sql")).await?)
    }

    fn sealer(&self) -> Result<&Sealer, StoreError> {
        self.sealer.as_ref().ok_or_else(|| {
            StoreError::Inconsistent(
                "tokens are needed but no encryption key is at hand: set WXPATROL_ENCRYPTION_KEY".to_owned(),
            )
        })
    }

    /// Closes the pool after the statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Where Postgres is, without user and password.
fn shown_address(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("(default database)");
    match options.get_socket() {
        Some(socket) => format!("{}, database {database}", socket.display()),
        None => format!("{}:{}, database {database}", options.get_host(), options.get_port()),
    }
}

impl Store {
    /// Moves the clock of a rehearsal forward, for every process on this database.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn rehearse(&self, shift: Duration) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/rehearsal_shift.sql")).bind(shift.as_secs_f64()).execute(&self.pool).await?;
        self.read_clock().await?;
        Ok(())
    }
}
