//! Which ticks have come since a schedule was last heard, and what its policy makes of those that were missed. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::Schedule;
use crate::{
    config::{Missed, Overlap},
    store::ticks::TickRow,
};

/// A tick that is heard within this is on time: a ring may be late by a slow statement or a short absence of Postgres.
pub const ON_TIME: TimeDelta = TimeDelta::minutes(1);
/// Ticks that came while nobody listened and are older than this are not coalesced into a run: whoever starts the program
/// in the afternoon does not expect the patrol of the night.
pub const LOOK_BACK: TimeDelta = TimeDelta::hours(6);
/// Missed ticks are counted up to this.
pub const COUNTED_MAX: usize = 10_000;

/// What is to be recorded about the ticks of a schedule, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// One row for each tick that is to run, and at most one for all that are not.
    pub rows: Vec<TickRow>,
    /// So many ticks may wait behind an open run.
    pub waiting_max: u32,
}

/// The ticks after `heard_until` and not after `now`; `None`: there are none. `listening_since` is when this process began
/// to listen: what came since then is never too old to be coalesced.
#[must_use]
pub fn due(
    schedule: &Schedule,
    heard_until: DateTime<Utc>,
    now: DateTime<Utc>,
    listening_since: DateTime<Utc>,
) -> Option<Due> {
    let second = TimeDelta::seconds(1);
    let tick = |until: DateTime<Utc>| schedule.cadence.last_until(until).filter(|tick| *tick > heard_until);
    let newest_first: Vec<DateTime<Utc>> =
        std::iter::successors(tick(now), |later| tick(*later - second)).take(COUNTED_MAX).collect();
    let newest = *newest_first.first()?;
    let mut waiting_max = u32::from(schedule.policy.overlap == Overlap::Buffer);
    let rows = match schedule.policy.missed {
        Missed::Coalesce => {
            let too_old = newest < listening_since.min(now - LOOK_BACK);
            vec![row(&newest_first, !too_old)]
        }
        Missed::Skip if newest < now - ON_TIME => vec![row(&newest_first, false)],
        Missed::Skip => each_and_the_rest(&newest_first, 1),
        Missed::CatchUp(ticks) => {
            if newest_first.len() > 1 {
                waiting_max = ticks;
            }
            each_and_the_rest(&newest_first, ticks as usize)
        }
    };
    Some(Due { rows, waiting_max })
}

/// One row that stands for all of these ticks.
fn row(newest_first: &[DateTime<Utc>], runs: bool) -> TickRow {
    let earlier = &newest_first[1..];
    TickRow {
        fire_at: newest_first[0],
        runs,
        missed_ticks: i32::try_from(earlier.len()).unwrap_or(i32::MAX),
        missed_since: earlier.last().copied(),
    }
}

/// The newest so many each run, and one row stands for the others.
fn each_and_the_rest(newest_first: &[DateTime<Utc>], run_max: usize) -> Vec<TickRow> {
    let (run, rest) = newest_first.split_at(run_max.min(newest_first.len()));
    let rest = (!rest.is_empty()).then(|| row(rest, false));
    let run = run.iter().rev().map(|fire_at| row(&[*fire_at], true));
    rest.into_iter().chain(run).collect()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::config::{Cadence, SchedulePolicy};

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn every_ten_minutes(missed: Missed, overlap: Overlap) -> Schedule {
        Schedule {
            name: "ask".to_owned(),
            cadence: Cadence::parse("*/10 * * * *", Tz::Asia__Shanghai).unwrap(),
            policy: SchedulePolicy { missed, overlap },
        }
    }

    /// From midnight, so many minutes.
    fn minute(minutes: i64) -> DateTime<Utc> {
        at("2026-11-21T00:00:00Z") + TimeDelta::minutes(minutes)
    }

    /// The rows as minutes: the tick, whether it runs, for how many others it stands and since when.
    fn rows(schedule: &Schedule, heard: i64, now: i64, listening: i64) -> Vec<(i64, bool, i32, Option<i64>)> {
        let of = |at: DateTime<Utc>| (at - minute(0)).num_minutes();
        let due = due(schedule, minute(heard), minute(now), minute(listening));
        let rows = due.map(|due| due.rows).unwrap_or_default();
        rows.into_iter().map(|row| (of(row.fire_at), row.runs, row.missed_ticks, row.missed_since.map(of))).collect()
    }

    #[test]
    fn a_tick_at_the_very_instant_counts_and_one_that_was_heard_does_not_come_again() {
        for missed in [Missed::Skip, Missed::Coalesce, Missed::CatchUp(3)] {
            let schedule = every_ten_minutes(missed, Overlap::Skip);
            assert_eq!(rows(&schedule, 0, 9, 0), []);
            assert_eq!(rows(&schedule, 0, 10, 0), [(10, true, 0, None)]);
            assert_eq!(rows(&schedule, 10, 10, 0), []);
        }
    }

    #[test]
    fn missed_ticks_coalesce_into_the_newest_which_says_for_how_many_it_stands() {
        let schedule = every_ten_minutes(Missed::Coalesce, Overlap::Skip);
        assert_eq!(rows(&schedule, 0, 65, 64), [(60, true, 5, Some(10))]);
    }

    #[test]
    fn what_nobody_listened_for_is_too_old_after_six_hours_and_what_came_while_listening_is_not() {
        let daily = |listening| {
            let mut schedule = every_ten_minutes(Missed::Coalesce, Overlap::Skip);
            schedule.cadence = Cadence::parse("0 9 * * *", Tz::Asia__Shanghai).unwrap();
            rows(&schedule, 0, 8 * 60, listening)
        };
        assert_eq!(daily(8 * 60), [(60, false, 0, None)]);
        assert_eq!(daily(0), [(60, true, 0, None)]);
        let schedule = every_ten_minutes(Missed::Coalesce, Overlap::Skip);
        assert_eq!(rows(&schedule, -24 * 60, 365, 364), [(360, true, 179, Some(-23 * 60 - 50))]);
    }

    #[test]
    fn what_is_skipped_when_missed_still_runs_on_time() {
        let schedule = every_ten_minutes(Missed::Skip, Overlap::Skip);
        assert_eq!(rows(&schedule, 0, 61, 60), [(50, false, 4, Some(10)), (60, true, 0, None)]);
        assert_eq!(rows(&schedule, 0, 62, 60), [(60, false, 5, Some(10))]);
    }

    #[test]
    fn catching_up_is_bounded_and_the_rest_is_one_row() {
        let schedule = every_ten_minutes(Missed::CatchUp(3), Overlap::Skip);
        let expected = [(30, false, 2, Some(10)), (40, true, 0, None), (50, true, 0, None), (60, true, 0, None)];
        assert_eq!(rows(&schedule, 0, 65, 64), expected);
        assert_eq!(rows(&schedule, 40, 65, 64), [(50, true, 0, None), (60, true, 0, None)]);
    }

    #[test]
    fn only_a_buffer_and_ticks_that_are_made_up_for_wait() {
        let waiting = |missed, overlap, now| {
            due(&every_ten_minutes(missed, overlap), minute(0), minute(now), minute(0)).unwrap().waiting_max
        };
        assert_eq!(waiting(Missed::Coalesce, Overlap::Skip, 30), 0);
        assert_eq!(waiting(Missed::Coalesce, Overlap::Buffer, 30), 1);
        assert_eq!(waiting(Missed::CatchUp(5), Overlap::Skip, 10), 0);
        assert_eq!(waiting(Missed::CatchUp(5), Overlap::Skip, 20), 5);
        assert_eq!(waiting(Missed::CatchUp(5), Overlap::Buffer, 10), 1);
    }

    #[test]
    fn a_long_absence_is_counted_up_to_a_bound() {
        let mut schedule = every_ten_minutes(Missed::Skip, Overlap::Skip);
        schedule.cadence = Cadence::parse("* * * * * *", Tz::Asia__Shanghai).unwrap();
        let due = due(&schedule, minute(-365 * 24 * 60), minute(0), minute(0)).unwrap();
        assert_eq!(due.rows.iter().map(|row| row.missed_ticks + 1).sum::<i32>(), 10_000);
    }
}
