//! Asks the administrator of a mini program without a phone for one: messages a person. The answer is a reading too.

use std::time::Duration;

use super::{Check, Moment, Subject, Verdict};
use crate::{
    domain::{CallError, CheckName, Class, Finding, Outcome, outcome::PhoneState},
    wechat::{Reply, Request},
};

pub(super) struct Ask {
    /// Nobody is asked again before this is over.
    pub cooldown: Duration,
}

impl Ask {
    fn asked(&self, moment: Moment, finding: Option<Finding>) -> Verdict {
        Verdict { finding, outcome: Outcome::Done { due_at: Some(moment.after(self.cooldown)) } }
    }
}

impl Check for Ask {
    fn name(&self) -> CheckName {
        CheckName::Ask
    }

    fn request(&self, _: Subject<'_>) -> Request {
        Request::CheckMobile { push_tmpl: true }
    }

    fn judge(&self, reply: &Reply, moment: Moment) -> Option<Verdict> {
        let Reply::CheckMobile { has_mobile } = reply else { return None };
        Some(if *has_mobile {
            Verdict { finding: Some(Finding::Phone(PhoneState::Bound)), outcome: Outcome::Done { due_at: None } }
        } else {
            self.asked(moment, Some(Finding::Phone(PhoneState::Missing)))
        })
    }

    fn judge_failure(&self, error: &CallError, moment: Moment) -> Option<Verdict> {
        // "No phone bound (or not yet agreed), a message was sent" comes as a code.
        if error.class() == Class::Pending {
            return Some(self.asked(moment, None));
        }
        // An answer that was lost counts as made: nothing is sent before the cool-down is over.
        (!error.certainly_not_made()).then(|| Verdict {
            finding: None,
            outcome: Outcome::Deferred { until: moment.after(self.cooldown), reason: "answer_lost".to_owned() },
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::domain::errcode;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    #[test]
    fn a_lost_answer_counts_as_made() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        let ask = Ask { cooldown: WEEK };
        for error in [CallError::TimedOut(WEEK), CallError::Status(502), CallError::Broken("reset".to_owned())] {
            let verdict = ask.judge_failure(&error, moment).unwrap();
            assert_eq!(verdict.outcome.due_at(), Some(moment.after(WEEK)));
        }
    }

    #[test]
    fn a_code_of_cloud_development_that_nobody_documents_counts_as_made_and_a_documented_one_does_not() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        let ask = Ask { cooldown: WEEK };
        for (errcode, made) in [(-601_047, true), (-601_034, false)] {
            let class = errcode::classify(CheckName::Ask.endpoint(), errcode);
            assert_eq!(class, Class::NotApplicable, "{errcode}");
            let error = CallError::Refused { errcode, class, errmsg: String::new(), rid: None };
            assert_eq!(ask.judge_failure(&error, moment).is_some(), made, "{errcode}");
        }
    }

    #[test]
    fn a_call_that_was_certainly_not_made_is_left_to_its_class() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        let ask = Ask { cooldown: WEEK };
        assert_eq!(ask.judge_failure(&CallError::NotConnected("refused".to_owned()), moment), None);
    }
}
