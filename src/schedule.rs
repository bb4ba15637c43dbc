//! The alarm clock: ticks at the instants of the schedules. A tick only says "look"; what is due, Postgres says.
//!
//! `tokio-cron-scheduler` rings every second, and that is all it does. Which instants were rung for is computed from the
//! cadence in its real time zone ([`due`]), and what becomes of them is decided once over all processes, in Postgres
//! ([`listener`]), so that a late, doubled or missed ring changes nothing but latency.

pub mod due;
pub mod listener;

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
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

/// A clock that has not rung for so long is not waited for: it goes by this machine's clock, and stands still for as long as that
/// was set back, while Postgres's, which decides, goes on.
const SILENT_MAX: Duration = Duration::from_secs(2);

/// Waits for a ring, or until it is time to look without one; `false`: nobody will ring any more.
pub async fn rung(rings: &mut mpsc::Receiver<()>) -> bool {
    match timeout(SILENT_MAX, rings.recv()).await {
        Ok(ring) => ring.is_some(),
        Err(_) => true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_listens_looks_also_when_the_clock_is_silent() {
        let (ring, mut rings) = mpsc::channel(1);
        let began = tokio::time::Instant::now();
        assert!(rung(&mut rings).await);
        assert_eq!(began.elapsed(), SILENT_MAX);
        ring.try_send(()).unwrap();
        assert!(rung(&mut rings).await);
        assert_eq!(began.elapsed(), SILENT_MAX);
        drop(ring);
        assert!(!rung(&mut rings).await);
    }
}
