//! Counters of this process's work, for the progress line, `/readyz` and the metrics.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::domain::CheckName;

/// The counters of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckProgress {
    /// The check.
    pub check: CheckName,
    /// Items that were due when the run was planned, and those claimed beyond that.
    pub eligible: u64,
    /// Items recorded, whatever became of them.
    pub recorded: u64,
}

/// How Postgres is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// It did not answer.
    Silent,
    /// It answered, and nothing can be written there.
    ReadOnly,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "waits for Postgres",
            Self::ReadOnly => "waits for Postgres: nothing can be written there, it is a replica or read-only",
        })
    }
}

/// Counters; all of them only grow but `under_way`.
#[derive(Default)]
pub struct Progress {
    eligible: [AtomicU64; 5],
    claimed: [AtomicU64; 5],
    recorded: [AtomicU64; 5],
    under_way: [AtomicU64; 5],
    looks: AtomicU64,
    lost: AtomicU64,
    database_away: Mutex<Option<Away>>,
    waits_for: Mutex<Option<(String, Instant)>>,
    last_claim: Mutex<Option<Instant>>,
    run: Mutex<Option<Uuid>>,
}

fn slot(check: CheckName) -> usize {
    match check {
        CheckName::Phone => 0,
        CheckName::Ask => 1,
        CheckName::Callback => 2,
        CheckName::Links => 3,
        CheckName::Invite => 4,
    }
}

impl Progress {
    pub(super) fn expect(&self, check: CheckName, items: u64) {
        self.eligible[slot(check)].fetch_max(items, Ordering::Relaxed);
    }

    pub(super) fn claimed(&self, check: CheckName, items: u64) {
        self.claimed[slot(check)].fetch_add(items, Ordering::Relaxed);
        self.under_way[slot(check)].fetch_add(items, Ordering::SeqCst);
        *self.last_claim.lock().expect("nobody panics while holding the instant") = Some(Instant::now());
        *self.waits_for.lock().expect("nobody panics while holding the text") = None;
    }

    /// Books what is recorded from now on under a run.
    pub(super) fn book_under(&self, run: Uuid) {
        *self.run.lock().expect("nobody panics while holding the id") = Some(run);
    }

    pub(super) fn run(&self) -> Option<Uuid> {
        *self.run.lock().expect("nobody panics while holding the id")
    }

    pub(super) fn recorded(&self, check: CheckName, written: bool) {
        let counter = if written { &self.recorded[slot(check)] } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn over(&self, check: CheckName) {
        self.under_way[slot(check)].fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the board was looked up well.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Grows with whatever happens to claims.
    pub(super) fn moves(&self) -> u64 {
        let all =
            |counters: &[AtomicU64; 5]| counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum::<u64>();
        all(&self.claimed) + all(&self.recorded) + self.lost()
    }

    /// Claims that are neither recorded nor given up.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.under_way_of(CheckName::ALL)
    }

    /// The same, of these checks.
    pub(super) fn under_way_of(&self, checks: &[CheckName]) -> u64 {
        checks.iter().map(|check| self.under_way[slot(*check)].load(Ordering::SeqCst)).sum()
    }

    /// Records that came too late: their lease was lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn set_database_away(&self, away: Option<Away>) {
        *self.database_away.lock().expect("nobody panics while holding the word") = away;
    }

    /// How Postgres was away when it was last asked; `None`: it answered, and can be written to.
    #[must_use]
    pub fn database_away(&self) -> Option<Away> {
        *self.database_away.lock().expect("nobody panics while holding the word")
    }

    /// Notes what the work waits for, and for how long.
    pub(super) fn waits_for(&self, what: String, wait: Duration) {
        *self.waits_for.lock().expect("nobody panics while holding the text") = Some((what, Instant::now() + wait));
    }

    /// What the work waits for, in a few words, and how many seconds yet; `None`: it goes on, or has nothing to do.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        let waits_for = self.waits_for.lock().expect("nobody panics while holding the text");
        let (what, until) = waits_for.as_ref()?;
        let left = until.checked_duration_since(Instant::now())?;
        Some(format!("{what}, for {:.0} s", left.as_secs_f64()))
    }

    /// When this process last claimed something.
    #[must_use]
    pub fn last_claim(&self) -> Option<Instant> {
        *self.last_claim.lock().expect("nobody panics while holding the instant")
    }

    /// The counters of every check that had anything to do.
    #[must_use]
    pub fn checks(&self) -> Vec<CheckProgress> {
        CheckName::ALL
            .iter()
            .map(|check| {
                let index = slot(*check);
                let recorded = self.recorded[index].load(Ordering::Relaxed);
                let claimed = self.claimed[index].load(Ordering::Relaxed);
                let eligible = self.eligible[index].load(Ordering::Relaxed).max(claimed).max(recorded);
                CheckProgress { check: *check, eligible, recorded }
            })
            .filter(|progress| progress.eligible > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_over_is_told_no_more() {
        let progress = Progress::default();
        progress.waits_for("checkmobile is closed".to_owned(), Duration::from_secs(90));
        assert!(progress.waiting().is_some_and(|told| told.starts_with("checkmobile is closed, for ")));
        progress.waits_for("checkmobile is closed".to_owned(), Duration::ZERO);
        assert_eq!(progress.waiting(), None);
    }
}
