//! The questions: one file each, with what it asks, its request and its judge. All pure.
//!
//! To add a check: its variant in [`crate::domain::CheckName`] (the compiler then names every fact that is missing), its
//! file here with two lines below, its rows in `store/results`, and a migration for its table and view. Planning,
//! limits, leases, retries, coverage, reports and `--check` follow from the list.

mod ask;
mod callback;
mod invite;
mod links;
mod phone;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::{CallError, CheckName, Finding, Outcome},
    wechat::{Reply, Request},
};

/// What a question is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The other side of a pair; empty for checks of one merchant.
    pub counterpart: &'a str,
    /// For an invitation: whether the wish tells the followers.
    pub notify_users: bool,
    /// For an invitation: whether the wish shows the mini program on the profile.
    pub show_profile: bool,
}

/// What a check concludes from an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Rows to write.
    pub finding: Option<Finding>,
    /// What becomes of the item.
    pub outcome: Outcome,
}

/// When an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When the call began.
    pub began_at: DateTime<Utc>,
    /// Now.
    pub now: DateTime<Utc>,
}

impl Moment {
    fn after(self, wait: Duration) -> DateTime<Utc> {
        self.now + TimeDelta::from_std(wait).unwrap_or_default()
    }
}

/// One question. `None` from a judge: the class of the answer decides, as it does for every check.
pub trait Check: Send + Sync {
    /// Which check this is.
    fn name(&self) -> CheckName;

    /// What is asked.
    fn request(&self, subject: Subject<'_>) -> Request;

    /// What a good answer means; `None`: it is no answer to this question, which is a bug.
    fn judge(&self, reply: &Reply, moment: Moment) -> Option<Verdict>;

    /// Failures that are an answer to this question.
    fn judge_failure(&self, _error: &CallError, _moment: Moment) -> Option<Verdict> {
        None
    }
}

/// The checks, with what each needs to know.
#[must_use]
pub fn all(ask_cooldown: Duration) -> Vec<Box<dyn Check>> {
    vec![
        Box::new(phone::Phone),
        Box::new(ask::Ask { cooldown: ask_cooldown }),
        Box::new(callback::CallbackConfig),
        Box::new(links::Links),
        Box::new(invite::Invite),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_question_and_asks_its_own_endpoint() {
        let checks = all(Duration::from_secs(7 * 86_400));
        let names: Vec<CheckName> = checks.iter().map(|check| check.name()).collect();
        assert_eq!(names, CheckName::ALL);
        for check in checks {
            let request = check.request(Subject { counterpart: "wxb", notify_users: false, show_profile: false });
            assert_eq!(request.endpoint(), check.name().endpoint());
            assert_eq!(request.messages_a_person(), check.name().messages_people());
        }
    }
}
