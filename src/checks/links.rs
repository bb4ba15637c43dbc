//! Which mini programs is the official account linked to, or waits for? One reading settles all of its pairs.

use super::{Check, Moment, Subject, Verdict};
use crate::{
    domain::{CheckName, Finding, Outcome, check::DAILY, link::Seen},
    wechat::{Reply, Request},
};

pub(super) struct Links;

impl Check for Links {
    fn name(&self) -> CheckName {
        CheckName::Links
    }

    fn request(&self, _: Subject<'_>) -> Request {
        Request::WxampLinkGet
    }

    /// The due time is a placeholder: recording replaces it by the earliest that the account's pairs ask for.
    fn judge(&self, reply: &Reply, moment: Moment) -> Option<Verdict> {
        let Reply::Links(entries) = reply else { return None };
        let seen = entries.iter().map(|entry| (entry.appid.clone(), Seen::from_status(entry.status))).collect();
        Some(Verdict {
            finding: Some(Finding::Links { began_at: moment.began_at, seen }),
            outcome: Outcome::Done { due_at: Some(moment.after(DAILY)) },
        })
    }
}
