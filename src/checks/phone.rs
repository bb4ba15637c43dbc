//! Has the mini program a phone bound? A reading: nobody is messaged.

use std::time::Duration;

use super::{Check, Moment, Subject, Verdict};
use crate::{
    domain::{CallError, CheckName, Class, Finding, Outcome, check::DAILY, outcome::PhoneState},
    wechat::{Reply, Request},
};

/// A bound phone seldom goes: it is read again every 30 days (less the four hours of [`DAILY`]).
const BOUND: Duration = Duration::from_secs(30 * 86_400 - 4 * 3600);

pub(super) struct Phone;

impl Check for Phone {
    fn name(&self) -> CheckName {
        CheckName::Phone
    }

    fn request(&self, _: Subject<'_>) -> Request {
        Request::CheckMobile { push_tmpl: false }
    }

    fn judge(&self, reply: &Reply, moment: Moment) -> Option<Verdict> {
        let Reply::CheckMobile { has_mobile } = reply else { return None };
        if !*has_mobile {
            return Some(Self::missing(moment));
        }
        Some(Verdict {
            finding: Some(Finding::Phone(PhoneState::Bound)),
            outcome: Outcome::Done { due_at: Some(moment.after(BOUND)) },
        })
    }

    fn judge_failure(&self, error: &CallError, moment: Moment) -> Option<Verdict> {
        // "No phone bound (or not yet agreed), a message was sent" comes as a code.
        (error.class() == Class::Pending).then(|| Self::missing(moment))
    }
}

impl Phone {
    fn missing(moment: Moment) -> Verdict {
        Verdict {
            finding: Some(Finding::Phone(PhoneState::Missing)),
            outcome: Outcome::Done { due_at: Some(moment.after(DAILY)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    #[test]
    fn a_missing_phone_is_read_again_sooner_than_a_bound_one() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        let due = |has_mobile| {
            let verdict = Phone.judge(&Reply::CheckMobile { has_mobile }, moment).unwrap();
            verdict.outcome.due_at().unwrap() - moment.now
        };
        assert_eq!(due(false).num_hours(), 20);
        assert_eq!(due(true).num_days(), 29);
    }

    #[test]
    fn an_answer_to_another_question_is_no_verdict() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        assert_eq!(Phone.judge(&Reply::Links(Vec::new()), moment), None);
    }
}
