//! A file that another system keeps the newest verify ticket in: read at start, and again when it changes.
//!
//! What vanishes, is empty or is no ticket changes nothing: the last good one stays in force.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::PlatformId,
    store::{Store, StoreError},
};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// A file that was written within this may not be whole yet.
const SETTLED: Duration = Duration::from_secs(1);
/// A longer file holds no ticket.
const BYTES_MAX: u64 = 4_096;

/// Why a file gave no ticket.
#[derive(Debug, thiserror::Error)]
pub enum TicketFileError {
    /// It is not there, or can not be read.
    #[error("it can not be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// It is being written to.
    #[error("it is being written to")]
    Unsettled,
    /// There is no ticket in it.
    #[error("it holds no ticket: write component_verify_ticket into it and nothing else")]
    NoTicket,
    /// Postgres did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The file of one platform.
pub struct TicketFile {
    store: Store,
    platform: PlatformId,
    path: PathBuf,
    seen: Option<Reading>,
}

#[derive(Clone)]
struct Reading {
    ticket: SecretString,
    modified: SystemTime,
}

impl Reading {
    fn same_ticket(&self, other: &Self) -> bool {
        self.ticket.expose_secret() == other.ticket.expose_secret()
    }
}

impl TicketFile {
    /// A file that was not looked at yet.
    #[must_use]
    pub fn new(store: Store, platform: PlatformId, path: PathBuf) -> Self {
        Self { store, platform, path, seen: None }
    }

    /// Looks at the file, and keeps its ticket when it is newer than the stored one; `true` says so. May be repeated.
    ///
    /// # Errors
    /// There is no ticket in it, or Postgres did not answer; what was known stays.
    pub async fn look(&mut self) -> Result<bool, TicketFileError> {
        let mut reading = self.read().await?;
        if self.seen.as_ref().is_some_and(|seen| seen.modified == reading.modified && seen.same_ticket(&reading)) {
            return Ok(false);
        }
        if age(reading.modified) < SETTLED {
            tokio::time::sleep(SETTLED).await;
            let again = self.read().await?;
            if !again.same_ticket(&reading) {
                return Err(TicketFileError::Unsettled);
            }
            reading = again;
        }
        // A ticket that changed under our eyes is new, whatever time its writer gave the file.
        let changed = self.seen.as_ref().is_some_and(|seen| !seen.same_ticket(&reading));
        let age = if changed { Duration::ZERO } else { age(reading.modified) };
        let made_at = self.store.read_clock().await? - TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
        let kept = self.store.keep_dated_ticket(self.platform, &reading.ticket, made_at).await?;
        self.seen = Some(reading);
        Ok(kept)
    }

    async fn read(&self) -> Result<Reading, TicketFileError> {
        let unreadable = |error: std::io::Error| TicketFileError::Unreadable(error.kind());
        let file = tokio::fs::File::open(&self.path).await.map_err(unreadable)?;
        let modified = file.metadata().await.and_then(|about| about.modified()).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| TicketFileError::NoTicket)?;
        let ticket = text.trim();
        let whole = !ticket.is_empty() && ticket.chars().all(|letter| letter.is_ascii_graphic());
        if !whole || text.len() as u64 > BYTES_MAX {
            return Err(TicketFileError::NoTicket);
        }
        Ok(Reading { ticket: ticket.to_owned().into(), modified })
    }

    /// Looks again and again, until it is told to stop.
    pub async fn watch(mut self, stop: CancellationToken) {
        let mut at_fault = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let path = self.path.display().to_string();
            match self.look().await {
                Ok(kept) => {
                    if kept || at_fault {
                        tracing::info!(path, kept, "the ticket file was read");
                    }
                    at_fault = false;
                }
                // Read again soon; Postgres being away is told elsewhere.
                Err(TicketFileError::Unsettled | TicketFileError::Store(_)) => {}
                Err(error) => {
                    if !at_fault {
                        tracing::warn!(path, %error, "the ticket file gives no ticket; the last good one stays in force");
                    }
                    at_fault = true;
                }
            }
        }
    }
}

fn age(modified: SystemTime) -> Duration {
    modified.elapsed().unwrap_or_default()
}
