//! What becomes of a claim whose call failed in a way that is the same for every check. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{CallError, CheckName, Class, Outcome, TokenFault, check::DAILY, platform_time};

/// Tries of a passing failure before the item counts as failed until tomorrow.
pub const ATTEMPTS_MAX: u32 = 3;
/// Tries of an answer that is in no table.
const UNKNOWN_ATTEMPTS_MAX: u32 = 2;
/// Times in a row that an item waits for the next minute before it waits for an hour.
const SLOWED_MAX: u32 = 5;
/// Waits before the second and third try.
const BACKOFF: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// An external source of tokens is asked again for a merchant after this, and a third of it later.
const SOURCE_PATIENCE: Duration = Duration::from_secs(900);
/// Of a merchant whose source of tokens gives nobody an answer. Counted in a row with the times that it was slowed down
/// (`record.sql`).
const SOURCE_SILENT: &str = "token_source_silent";
/// A source that is left alone is come back to so often, some twelve seconds apart.
const RESTS_MAX: u32 = 20;
/// Who lost its refresh token looks for itself after this, should no reading of the authorizer list wake it.
const LIST_PATIENCE: Duration = Duration::from_secs(300);
/// What only a person or an authorization can change is looked at again after this, should nobody tell us.
const LOOK_AGAIN: Duration = Duration::from_secs(7 * 86_400 - 4 * 3600);

/// What is known about a claim when its call has failed.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// The check.
    pub check: CheckName,
    /// Failed tries before this one.
    pub attempts: u32,
    /// Times in a row that the item was slowed down before, or waited for a source of tokens.
    pub slowed: u32,
    /// When WeChat was asked.
    pub asked_at: DateTime<Utc>,
    /// Now.
    pub now: DateTime<Utc>,
    /// A random share from 0 to 1, so that what failed together does not come back together.
    pub jitter: f64,
}

impl Tried {
    fn after(self, wait: Duration) -> DateTime<Utc> {
        self.now + TimeDelta::from_std(wait).unwrap_or_default()
    }

    fn scattered(self, at: DateTime<Utc>, over: Duration) -> DateTime<Utc> {
        at + TimeDelta::from_std(over.mul_f64(self.jitter.clamp(0.0, 1.0))).unwrap_or_default()
    }

    fn again(self, attempts_max: u32, reason: &str) -> Outcome {
        if self.attempts + 1 >= attempts_max {
            return self.failed(reason);
        }
        let index = usize::try_from(self.attempts).unwrap_or(0).min(BACKOFF.len() - 1);
        let due_at = self.scattered(self.after(BACKOFF[index]), BACKOFF[index] / 5);
        Outcome::Again { due_at, reason: reason.to_owned(), attempt: true }
    }

    fn failed(self, reason: &str) -> Outcome {
        Outcome::Failed { due_at: self.after(DAILY), reason: reason.to_owned() }
    }

    fn skipped(self, reason: &str) -> Outcome {
        Outcome::Skipped { due_at: Some(self.after(LOOK_AGAIN)), reason: reason.to_owned() }
    }

    fn put_off(self, wait: Duration, reason: &str) -> Outcome {
        Outcome::Deferred { until: self.scattered(self.after(wait), wait / 3), reason: reason.to_owned() }
    }

    fn wait(self, wait: Duration, reason: &str) -> Outcome {
        Outcome::Again { due_at: self.after(wait), reason: reason.to_owned(), attempt: false }
    }
}

/// Settles a failed call by its class. `None`: a fault of the whole platform, for the breaker to decide on.
#[must_use]
pub fn settle(error: &CallError, tried: Tried) -> Option<Outcome> {
    if let CallError::NoToken(fault) = error {
        return settle_token_fault(fault, tried);
    }
    settle_class(error.class(), tried)
}

fn settle_class(class: Class, tried: Tried) -> Option<Outcome> {
    Some(match class {
        Class::Transient => tried.again(ATTEMPTS_MAX, class.name()),
        Class::Token => tried.again(ATTEMPTS_MAX, "token_refused"),
        Class::Permission | Class::NotApplicable => tried.skipped(class.name()),
        Class::Withdrawn => Outcome::Skipped { due_at: None, reason: class.name().to_owned() },
        Class::QuotaMinute if tried.slowed < SLOWED_MAX => Outcome::Again {
            due_at: tried.scattered(platform_time::next_minute(tried.now), Duration::from_secs(5)),
            reason: class.name().to_owned(),
            attempt: false,
        },
        Class::QuotaMinute => {
            let until = tried.scattered(tried.after(Duration::from_secs(3600)), Duration::from_secs(600));
            Outcome::Deferred { until, reason: class.name().to_owned() }
        }
        Class::QuotaDay => {
            let until = tried.scattered(platform_time::after_midnight(tried.asked_at), Duration::from_secs(900));
            Outcome::Deferred { until, reason: class.name().to_owned() }
        }
        Class::QuotaMonth => {
            let until = tried.scattered(platform_time::after_month(tried.asked_at), Duration::from_secs(900));
            Outcome::Deferred { until, reason: class.name().to_owned() }
        }
        Class::Human => tried.skipped(class.name()),
        // A success of another endpoint's step that this check did not expect is a fault of ours.
        Class::Ok | Class::Pending | Class::Already | Class::Bug => tried.failed(Class::Bug.name()),
        Class::Unknown => tried.again(UNKNOWN_ATTEMPTS_MAX, class.name()),
        Class::Halt => return None,
    })
}

/// Settles a halt code that one merchant alone answers, while the platform works for the others.
#[must_use]
pub fn settle_alone(tried: Tried) -> Outcome {
    tried.again(ATTEMPTS_MAX, "halt_code_alone")
}

fn settle_token_fault(fault: &TokenFault, tried: Tried) -> Option<Outcome> {
    match fault {
        TokenFault::BeingRefreshed => Some(tried.wait(Duration::from_secs(2), "token_being_refreshed")),
        TokenFault::CoolingDown { wait, .. } => Some(if tried.attempts + 1 >= ATTEMPTS_MAX {
            tried.failed("token_refresh_failed")
        } else {
            Outcome::Again {
                due_at: tried.after(*wait + Duration::from_secs(1)),
                reason: "token_refresh_failed".to_owned(),
                attempt: true,
            }
        }),
        TokenFault::SlowedDown { wait, .. } => Some(if tried.slowed < SLOWED_MAX {
            let due_at = tried.scattered(tried.after(*wait), Duration::from_secs(5));
            Outcome::Again { due_at, reason: Class::QuotaMinute.name().to_owned(), attempt: false }
        } else {
            let until = tried.scattered(tried.after(Duration::from_secs(3600)), Duration::from_secs(600));
            Outcome::Deferred { until, reason: Class::QuotaMinute.name().to_owned() }
        }),
        // WeChat refused the refresh for the merchant's own reason, which means the same as if it had refused the call.
        TokenFault::Refused { class, .. } => settle_class(*class, tried),
        // Nothing was sent, and nothing is the merchant's fault.
        TokenFault::NoComponent { wait, .. } => {
            let due_at = tried.scattered(tried.after(*wait + Duration::from_secs(1)), Duration::from_secs(2));
            Some(Outcome::Again { due_at, reason: "platform_token_refused".to_owned(), attempt: false })
        }
        // The source may only be restarting. What it does not give is not the merchant's failure.
        TokenFault::SourceSilent(_) if tried.attempts + 1 < ATTEMPTS_MAX => {
            Some(tried.again(ATTEMPTS_MAX, SOURCE_SILENT))
        }
        // Scattered, so that others come first the next time: some merchants' failures are not to hide that it serves the rest.
        TokenFault::SourceResting { over: false, .. } if tried.slowed < RESTS_MAX => {
            let due_at = tried.scattered(tried.after(Duration::from_secs(2)), Duration::from_secs(20));
            Some(Outcome::Again { due_at, reason: SOURCE_SILENT.to_owned(), attempt: false })
        }
        TokenFault::SourceSilent(_) | TokenFault::SourceResting { .. } => {
            Some(tried.put_off(SOURCE_PATIENCE, SOURCE_SILENT))
        }
        TokenFault::Dead(_) => Some(tried.put_off(SOURCE_PATIENCE, "external_token_dead")),
        TokenFault::NotHandedOut(_) => Some(tried.put_off(SOURCE_PATIENCE, "external_token_missing")),
        TokenFault::NoPlatformToken(_) => Some(tried.failed(Class::Bug.name())),
        // A reading of the list wakes it, whatever it brought.
        TokenFault::Recovering(_) => Some(tried.put_off(LIST_PATIENCE, "token_recovering")),
        // A later reading of the list may bring it back; should nobody tell us, it is looked at tomorrow.
        TokenFault::Lost(_) => {
            Some(Outcome::Skipped { due_at: Some(tried.after(DAILY)), reason: "token_lost".to_owned() })
        }
        TokenFault::Withdrawn => Some(Outcome::Skipped { due_at: None, reason: Class::Withdrawn.name().to_owned() }),
        TokenFault::Platform { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(attempts: u32, slowed: u32) -> Tried {
        let now = DateTime::from_timestamp(1_800_000_030, 0).unwrap();
        Tried { check: CheckName::Phone, attempts, slowed, asked_at: now, now, jitter: 0.0 }
    }

    fn refused(class: Class) -> CallError {
        CallError::Refused { errcode: 1, class, errmsg: String::new(), rid: None }
    }

    #[test]
    fn the_third_passing_failure_is_the_last_of_the_day() {
        let error = CallError::Status(502);
        let outcome = |attempts| settle(&error, tried(attempts, 0)).unwrap();
        assert_eq!(
            (outcome(0).name(), outcome(1).name(), outcome(2).name()),
            (Some("again"), Some("again"), Some("failed"))
        );
    }

    #[test]
    fn being_slowed_down_uses_up_no_attempt_and_ends_in_an_hour_s_wait() {
        let error = refused(Class::QuotaMinute);
        let outcome = |slowed| settle(&error, tried(2, slowed)).unwrap();
        assert!(matches!(outcome(0), Outcome::Again { attempt: false, .. }));
        assert_eq!(outcome(0).due_at().unwrap().timestamp() % 60, 0);
        assert_eq!(outcome(SLOWED_MAX).name(), Some("deferred"));
    }

    #[test]
    fn only_a_halt_is_left_to_the_breaker() {
        for class in Class::ALL {
            assert_eq!(settle(&refused(*class), tried(0, 0)).is_none(), *class == Class::Halt, "{class}");
        }
    }

    #[test]
    fn an_external_source_that_gives_nothing_fails_no_merchant() {
        let silent = CallError::NoToken(TokenFault::SourceSilent("it is away".to_owned()));
        let outcome = |attempts| settle(&silent, tried(attempts, 0)).unwrap();
        let names = [outcome(0), outcome(1), outcome(2)].map(|outcome| outcome.name().unwrap().to_owned());
        assert_eq!(names, ["again", "again", "deferred"]);
        for (fault, reason) in [
            (TokenFault::Dead(String::new()), "external_token_dead"),
            (TokenFault::NotHandedOut(String::new()), "external_token_missing"),
        ] {
            let outcome = settle(&CallError::NoToken(fault), tried(0, 0)).unwrap();
            assert_eq!((outcome.name(), outcome.reason()), (Some("deferred"), Some(reason)));
        }
    }

    #[test]
    fn a_source_that_is_left_alone_costs_no_try_and_is_come_back_to_for_minutes_not_for_ever() {
        let resting = |over| CallError::NoToken(TokenFault::SourceResting { reason: "it is away".to_owned(), over });
        let outcome = |over, slowed| settle(&resting(over), tried(2, slowed)).unwrap();
        for slowed in [0, RESTS_MAX - 1] {
            assert_eq!(outcome(false, slowed).name(), Some("again"));
            assert!(!outcome(false, slowed).counts(), "it was not tried");
        }
        for put_off in [outcome(false, RESTS_MAX), outcome(true, 0)] {
            assert_eq!((put_off.name(), put_off.reason()), (Some("deferred"), Some("token_source_silent")));
        }
    }

    #[test]
    fn a_refused_refresh_is_settled_as_the_refused_call_would_be() {
        for class in Class::ALL {
            let fault = TokenFault::Refused { errcode: 1, class: *class, reason: String::new() };
            let (refresh, call) =
                (settle(&CallError::NoToken(fault), tried(0, 0)), settle(&refused(*class), tried(0, 0)));
            assert_eq!(refresh, call, "{class}");
        }
    }

    #[test]
    fn a_permission_that_is_missing_is_skipped_and_a_lost_token_as_well() {
        assert_eq!(settle(&refused(Class::Permission), tried(0, 0)).unwrap().name(), Some("skipped"));
        let lost = CallError::NoToken(TokenFault::Lost("gone".to_owned()));
        assert_eq!(settle(&lost, tried(0, 0)).unwrap().reason(), Some("token_lost"));
    }
}
