//! The alarm clock: ticks at the instants of the schedules. A tick only says "look"; what is due, Postgres says.
//!
//! `tokio-cron-scheduler` rings every few seconds at the latest of each schedule's own instants; which instant it was is
//! computed from the cadence in its real time zone, so that a late, doubled or missed ring changes nothing but latency.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::config::Cadence;

/// A schedule by its name in `run`.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The check's name, or `sync`.
    pub name: String,
    /// When it fires.
    pub cadence: Cadence,
}

/// The newest instant at which a cadence fired, not before `since` and not after `now`. Several that were missed count as
/// one: the newest.
#[must_use]
pub fn newest_tick(cadence: &Cadence, since: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut newest = None;
    let mut after = since - TimeDelta::seconds(1);
    while let Some(next) = cadence.next_after(after) {
        if next > now {
            break;
        }
        newest = Some(next);
        after = next;
    }
    newest
}

/// Rings into `rings` once a second, for whoever listens; the listener asks each schedule for its newest tick.
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
    use chrono_tz::Tz;

    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn cadence(text: &str, zone: Tz) -> Cadence {
        Cadence::parse(text, zone).unwrap()
    }

    #[test]
    fn missed_ticks_count_as_their_newest() {
        let every_ten = cadence("*/10 * * * *", Tz::Asia__Shanghai);
        let newest = newest_tick(&every_ten, utc("2026-11-21T00:00:01Z"), utc("2026-11-21T01:05:00Z"));
        assert_eq!(newest, Some(utc("2026-11-21T01:00:00Z")));
        assert_eq!(newest_tick(&every_ten, utc("2026-11-21T01:00:01Z"), utc("2026-11-21T01:05:00Z")), None);
    }

    #[test]
    fn a_tick_at_the_very_instant_counts() {
        let three = cadence("0 3 * * *", Tz::Asia__Shanghai);
        let instant = utc("2026-11-20T19:00:00Z");
        assert_eq!(newest_tick(&three, instant, instant), Some(instant));
    }

    #[test]
    fn a_wall_time_that_occurs_twice_fires_once_and_one_in_a_gap_at_the_first_instant_after_it() {
        let half_past_two = cadence("30 2 * * *", Tz::Europe__Berlin);
        let fires = |from: &str, to: &str| {
            let (mut after, to) = (utc(from), utc(to));
            let mut fired = Vec::new();
            while let Some(next) = half_past_two.next_after(after).filter(|next| *next <= to) {
                fired.push(next);
                after = next;
            }
            fired
        };
        // 25 October 2026: 02:30 occurs at 00:30 and again at 01:30 UTC.
        assert_eq!(fires("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"), [utc("2026-10-25T00:30:00Z")]);
        // 29 March 2026: 02:30 does not exist; the clocks jump from 02:00 to 03:00 at 01:00 UTC.
        assert_eq!(fires("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"), [utc("2026-03-29T01:00:00Z")]);
    }
}
