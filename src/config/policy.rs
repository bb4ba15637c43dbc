//! The schedules: when each ticks, what becomes of ticks that nobody heard in time, and of ticks that come while the run
//! before is still open.

use std::{collections::BTreeMap, fmt};

use chrono_tz::Tz;

use super::{Cadence, reader::Reader};
use crate::domain::CheckName;

/// The most ticks that may be made up for.
pub const CATCH_UP_MAX: u32 = 100;

/// What becomes of ticks that were missed, because no process ran or Postgres was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// They are recorded as missed.
    Skip,
    /// The newest is run for all of them.
    Coalesce,
    /// The newest so many are run one after the other, from 1 to `CATCH_UP_MAX`; older ones are recorded as missed.
    CatchUp(u32),
}

/// What becomes of a tick while the run before of its schedule is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is recorded as skipped.
    Skip,
    /// It waits, and runs when the run before ends; one waits at a time, further ones are recorded as skipped.
    Buffer,
}

/// Both of one schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulePolicy {
    /// Of ticks that were missed.
    pub missed: Missed,
    /// Of ticks that overlap.
    pub overlap: Overlap,
}

impl Default for SchedulePolicy {
    fn default() -> Self {
        Self { missed: Missed::Coalesce, overlap: Overlap::Skip }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => f.write_str("skip"),
            Self::Coalesce => f.write_str("coalesce"),
            Self::CatchUp(ticks) => write!(f, "catch_up:{ticks}"),
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skip => "skip",
            Self::Buffer => "buffer",
        })
    }
}

fn missed(text: &str) -> Result<Missed, String> {
    let rule = || format!("must be skip, coalesce, or catch_up: with a number from 1 to {CATCH_UP_MAX}");
    match text.split_once(':') {
        None if text == "skip" => Ok(Missed::Skip),
        None if text == "coalesce" => Ok(Missed::Coalesce),
        Some(("catch_up", ticks)) => match ticks.trim().parse() {
            Ok(ticks) if (1..=CATCH_UP_MAX).contains(&ticks) => Ok(Missed::CatchUp(ticks)),
            _ => Err(rule()),
        },
        None | Some(_) => Err(rule()),
    }
}

fn overlap(text: &str) -> Result<Overlap, String> {
    match text {
        "skip" => Ok(Overlap::Skip),
        "buffer" => Ok(Overlap::Buffer),
        _ => Err("must be skip or buffer".to_owned()),
    }
}

/// When each check is looked at, and when merchants are read.
pub(super) fn cadences<L: Fn(&str) -> Option<String>>(
    r: &mut Reader<L>,
    zone: Tz,
) -> (BTreeMap<CheckName, Option<Cadence>>, Option<Cadence>) {
    let cadence = |text: &str| if text == "off" { Ok(None) } else { Cadence::parse(text, zone).map(Some) };
    let mut checks = BTreeMap::new();
    for &check in CheckName::ALL {
        let default = match check {
            CheckName::Phone | CheckName::Callback => "0 3 * * *",
            CheckName::Ask | CheckName::Links | CheckName::Invite => "*/10 * * * *",
        };
        let name = format!("WXPATROL_SCHEDULE_{}", check.name().to_uppercase());
        let meaning = format!("when a run of the check {check} begins; off: never by itself");
        checks.insert(check, r.or_default(&name, default, &meaning, cadence));
    }
    let meaning = "when merchants are read from WeChat; off: never by itself";
    (checks, r.or_default("WXPATROL_SCHEDULE_SYNC", "30 2 * * *", meaning, cadence))
}

/// The policies of every schedule, by its name.
pub(super) fn read<L: Fn(&str) -> Option<String>>(r: &mut Reader<L>) -> BTreeMap<String, SchedulePolicy> {
    let mut policies = BTreeMap::new();
    for name in schedule_names() {
        let variable = format!("WXPATROL_SCHEDULE_{}", name.to_uppercase());
        let missed = r.or_default(
            &format!("{variable}_MISSED"),
            "coalesce",
            &format!(
                "ticks of the schedule {name} that no process heard: skip, coalesce (one run for all), catch_up:N"
            ),
            missed,
        );
        let overlap = r.or_default(
            &format!("{variable}_OVERLAP"),
            "skip",
            &format!("ticks of the schedule {name} while its last run is open: skip, or buffer (one waits)"),
            overlap,
        );
        policies.insert(name.to_owned(), SchedulePolicy { missed, overlap });
    }
    policies
}

/// The names of all schedules: one for each check, and `sync`.
pub fn schedule_names() -> impl Iterator<Item = &'static str> {
    CheckName::ALL.iter().map(|check| check.name()).chain(["sync"])
}
