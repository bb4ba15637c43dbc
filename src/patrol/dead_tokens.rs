//! Dead tokens that can not be replaced: WeChat refuses merchants' tokens, and the platform's own, which others are bought
//! with, can not be had. Which tokens are dead shows only in calls, so when several merchants in a row met it, with no
//! success between, the endpoints close for this process until the next try for the platform's token; then its lanes claim
//! one merchant at a time, until a call succeeds.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::Inner;
use crate::domain::{CallError, CheckName, TokenFault};

/// Different merchants that must have met it.
const MERCHANTS: usize = 3;
/// The endpoints stay closed for this long at least.
const CLOSED_MIN: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct DeadTokens {
    /// The first few merchants since the last success.
    row: Mutex<Vec<String>>,
    noted: AtomicBool,
    on_trial: AtomicBool,
}

impl DeadTokens {
    /// Notes a merchant; `true`: enough of them.
    fn note(&self, appid: &str) -> bool {
        let mut row = self.row.lock().expect("nobody panics while holding the list");
        self.noted.store(true, Ordering::Relaxed);
        if row.len() < MERCHANTS && !row.iter().any(|known| known == appid) {
            row.push(appid.to_owned());
        }
        let enough = row.len() >= MERCHANTS;
        if enough {
            self.on_trial.store(true, Ordering::Relaxed);
        }
        enough
    }

    /// A merchant answered.
    pub(super) fn works(&self) {
        // The lock is for the rare call that ends a row.
        if self.noted.load(Ordering::Relaxed) {
            let mut row = self.row.lock().expect("nobody panics while holding the list");
            row.clear();
            self.noted.store(false, Ordering::Relaxed);
            self.on_trial.store(false, Ordering::Relaxed);
        }
    }

    /// Whether lanes claim one merchant at a time.
    pub(super) fn on_trial(&self) -> bool {
        self.on_trial.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Books a merchant that has no token because the platform has none.
    pub(super) fn no_component(&self, appid: &str, error: &CallError) {
        let CallError::NoToken(TokenFault::NoComponent { wait, refused, reason }) = error else { return };
        let first = !self.dead.on_trial();
        if !self.dead.note(appid) {
            return;
        }
        let wait = (*wait).max(CLOSED_MIN);
        if first {
            tracing::warn!(
                platform = self.platform.component_appid,
                reason,
                "tokens can not be refreshed, because the platform's own token can not be had; its merchants wait"
            );
        }
        // A merchant that had no live token has cost no call; those that have one go on.
        if *refused {
            for check in CheckName::ALL {
                self.wire.pace().close(self.platform.id, check.endpoint(), wait);
                self.closed.note(check.endpoint(), wait);
            }
        }
        self.progress.waits_for("the platform's own token can not be had and is not tried".to_owned(), wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_merchants_whose_tokens_died_hold_nobody_up() {
        let dead = DeadTokens::default();
        assert!((0..50).all(|turn| !dead.note(if turn % 2 == 0 { "wxa" } else { "wxb" })));
        assert!(!dead.on_trial());
        assert!(dead.note("wxc") && dead.on_trial());
    }

    #[test]
    fn a_success_ends_the_trial() {
        let dead = DeadTokens::default();
        assert!(["wxa", "wxb", "wxc", "wxa"].map(|appid| dead.note(appid))[3]);
        dead.works();
        assert!(!dead.on_trial() && !dead.note("wxa"));
    }
}
