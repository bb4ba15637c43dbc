//! The alarm clock: ticks at the instants of the schedules. A tick only says "look"; what is due, Postgres says.
//!
//! `tokio-cron-scheduler` rings every second, and that is all it does. Which instants were rung for is computed from the
//! cadence in its real time zone ([`due`]), and what becomes of them is decided once over all processes, in Postgres
//! ([`listener`]), so that a late, doubled or missed ring changes nothing but latency.

pub mod due;
pub mod listener;

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::config::{Cadence, SchedulePolicy};

/// A schedule by its name in `run`.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The check's name, or `sync`.
    pub name: String,
    /// When it fires.
    pub cadence: Cadence,
    /// What becomes of ticks that were missed or overlap.
    pub policy: SchedulePolicy,
}

impl Schedule {
    /// The cadence with its zone, as it stands in the table `schedule`.
    #[must_use]
    pub fn cadence_text(&self) -> String {
        format!("{} {}", self.cadence.expression(), self.cadence.zone())
    }
}

/// Rings into `rings` once a second, for whoever listens; the listener asks each schedule for its ticks.
///
/// # Errors
/// The alarm clock could not be set.
pub async fn alarm(rings: mpsc::Sender<()>) -> Result<JobScheduler, JobSchedulerError> {
    let clock = JobScheduler::new().await?;
    // One job for all schedules, every second, in UTC: the library turns a zone into a fixed offset when a job is made,
    // which is wrong by an hour after a change of daylight saving.
    let job = Job::new("* * * * * *", move |_, _| {
        // A ring that nobody has heard yet stands for this one too.
        rings.try_send(()).ok();
    })?;
    clock.add(job).await?;
    clock.start().await?;
    Ok(clock)
}
