//! Where does WeChat push the mini program's messages? A reading; its history is kept as intervals and field changes.

use std::time::Duration;

use super::{Check, Moment, Subject, Verdict};
use crate::{
    domain::{CallError, Callback, CheckName, Class, Finding, Outcome, check::DAILY},
    wechat::{Reply, Request},
};

/// A mini program without cloud development seldom opens it: looked at again after this.
const NOT_APPLICABLE: Duration = Duration::from_secs(7 * 86_400 - 4 * 3600);

pub(super) struct CallbackConfig;

impl Check for CallbackConfig {
    fn name(&self) -> CheckName {
        CheckName::Callback
    }

    fn request(&self, _: Subject<'_>) -> Request {
        Request::GetCallbackConfig
    }

    fn judge(&self, reply: &Reply, moment: Moment) -> Option<Verdict> {
        let Reply::Callback(callback) = reply else { return None };
        Some(Verdict {
            finding: Some(Finding::Callback(callback.clone())),
            outcome: Outcome::Done { due_at: Some(moment.after(DAILY)) },
        })
    }

    fn judge_failure(&self, error: &CallError, moment: Moment) -> Option<Verdict> {
        (error.class() == Class::NotApplicable).then(|| Verdict {
            finding: Some(Finding::Callback(Callback::NotApplicable)),
            outcome: Outcome::Skipped {
                due_at: Some(moment.after(NOT_APPLICABLE)),
                reason: Class::NotApplicable.name().to_owned(),
            },
        })
    }
}
