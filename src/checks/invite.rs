//! Sends one link invitation: messages the official account's administrator, and later the mini program's.
//!
//! The answer never says that the pair is linked, only that the invitation is out; the readings of `links` follow it.

use super::{Check, Moment, Subject, Verdict};
use crate::{
    domain::{CallError, CheckName, Class, Finding, Outcome, errcode, outcome::InviteAnswer, platform_time},
    wechat::{LinkAnswer, Reply, Request},
};

pub(super) struct Invite;

fn sleeps(answer: InviteAnswer, reason: &str) -> Verdict {
    Verdict {
        finding: Some(Finding::Invite(answer)),
        outcome: Outcome::Skipped { due_at: None, reason: reason.to_owned() },
    }
}

impl Check for Invite {
    fn name(&self) -> CheckName {
        CheckName::Invite
    }

    fn request(&self, subject: Subject<'_>) -> Request {
        Request::WxampLink {
            mini_program: subject.counterpart.to_owned(),
            notify_users: subject.notify_users,
            show_profile: subject.show_profile,
        }
    }

    fn judge(&self, reply: &Reply, _: Moment) -> Option<Verdict> {
        let Reply::Linked(answer) = reply else { return None };
        let answer = match answer {
            LinkAnswer::Sent | LinkAnswer::Pending => InviteAnswer::Sent,
            LinkAnswer::Already => InviteAnswer::AlreadyLinked,
        };
        Some(Verdict { finding: Some(Finding::Invite(answer)), outcome: Outcome::Done { due_at: None } })
    }

    fn judge_failure(&self, error: &CallError, moment: Moment) -> Option<Verdict> {
        if !error.certainly_not_made() {
            return Some(sleeps(InviteAnswer::Unknown, "answer_lost"));
        }
        let CallError::Refused { errcode, class, errmsg, .. } = error else { return None };
        match class {
            Class::QuotaMonth => {
                let until = platform_time::after_month(moment.began_at);
                Some(Verdict {
                    finding: Some(Finding::Invite(InviteAnswer::QuotaUsedUp { until })),
                    outcome: Outcome::Deferred { until, reason: class.name().to_owned() },
                })
            }
            Class::Human => {
                let known = errcode::lookup(CheckName::Invite.endpoint(), *errcode);
                let reason = known.map_or(errmsg.as_str(), |row| row.meaning_en).to_owned();
                Some(sleeps(InviteAnswer::Refused { errcode: *errcode, reason }, "blocked"))
            }
            Class::Ok
            | Class::Transient
            | Class::Token
            | Class::Permission
            | Class::Withdrawn
            | Class::QuotaMinute
            | Class::QuotaDay
            | Class::Pending
            | Class::Already
            | Class::NotApplicable
            | Class::Bug
            | Class::Halt
            | Class::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn refused(errcode: i64) -> CallError {
        let class = errcode::classify(CheckName::Invite.endpoint(), errcode);
        CallError::Refused { errcode, class, errmsg: String::new(), rid: None }
    }

    #[test]
    fn a_system_error_may_have_sent_the_invitation() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        let verdict = Invite.judge_failure(&refused(-1), moment).unwrap();
        assert_eq!(verdict.finding, Some(Finding::Invite(InviteAnswer::Unknown)));
        assert_eq!(verdict.outcome.due_at(), None);
    }

    #[test]
    fn a_code_that_needs_a_person_blocks_the_pair_with_its_reason() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        let verdict = Invite.judge_failure(&refused(89_245), moment).unwrap();
        let Some(Finding::Invite(InviteAnswer::Refused { errcode, reason })) = verdict.finding else {
            panic!("not refused: {verdict:?}")
        };
        assert_eq!(errcode, 89_245);
        assert!(!reason.is_empty());
    }

    #[test]
    fn the_quota_of_the_month_waits_for_the_next_month() {
        let moment = Moment { began_at: Utc::now(), now: Utc::now() };
        let verdict = Invite.judge_failure(&refused(89_007), moment).unwrap();
        assert_eq!(verdict.outcome.due_at(), Some(platform_time::after_month(moment.began_at)));
    }
}
