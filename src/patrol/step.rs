//! One claim's step: intend, call, classify, judge, settle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Inner, settle};
use crate::{
    checks::{Moment, Subject},
    domain::{
        CallError, CheckName, Class, Endpoint, Finding, Outcome, Settled, TokenFault,
        message::Permission,
        outcome::{CallRecord, IntentOutcome, InviteAnswer},
        ports::StoredToken,
    },
    store::{claim::Claim, intend::Intended},
    wechat::Permit,
};

/// A message that was written down.
#[derive(Debug, Clone, Copy)]
struct Message {
    number: i32,
    written_at: Instant,
    notify_users: bool,
    show_profile: bool,
}

/// What becomes of a claim for which nobody was called.
pub(super) fn uncalled(claim: &Claim, outcome: Outcome) -> Settled {
    Settled {
        key: Arc::clone(&claim.key),
        fence: claim.fence,
        outcome,
        call: None,
        finding: None,
        intent: None,
        free_at: None,
    }
}

/// Takes the step, with the claim's token. The caller holds a slot; a reading's permit is used already, that of a message is
/// used here, or taken when it comes without one.
///
/// The ways that few steps take are boxed: every caller holds room for its largest step as long as it lives.
pub(super) async fn take(
    inner: &Inner,
    index: usize,
    claim: &Claim,
    token: Option<StoredToken>,
    permit: Option<Permit>,
) -> Settled {
    let check = inner.checks[index].as_ref();
    let message = match intend(inner, claim).await {
        Ok(message) => message,
        Err(settled) => return *settled,
    };
    if let Some(Message { number, written_at, .. }) = message
        && !Box::pin(in_time(inner, claim, permit, written_at)).await
    {
        // At once it would be written down as late again, a row for each try.
        let due_at = inner.now() + TimeDelta::seconds(30);
        let outcome = match inner.stop.is_cancelled() || inner.halted() {
            true => Outcome::Back,
            false => Outcome::Again { due_at, reason: "written_too_late".to_owned(), attempt: false },
        };
        return Settled { intent: Some((number, IntentOutcome::NotMade)), ..uncalled(claim, outcome) };
    }
    let subject = Subject {
        counterpart: &claim.key.counterpart,
        notify_users: message.is_some_and(|message| message.notify_users),
        show_profile: message.is_some_and(|message| message.show_profile),
    };
    let request = check.request(subject);
    let began_at = inner.store.now_at_least();
    let deadline = Instant::now() + inner.settings.call_deadline;
    let answer = inner.wire.call_with_token(&inner.platform, &claim.key.appid, token, &request, deadline).await;
    let moment = Moment { began_at, now: inner.now() };
    let asked = Asked { at: began_at, latency: answer.latency };
    let class = answer.result.as_ref().err().map_or(Class::Ok, CallError::class);
    let (platform, endpoint) = (inner.label.clone(), request.endpoint().name());
    metrics::histogram!("wxpatrol_call_seconds", "platform" => platform, "endpoint" => endpoint, "class" => class.name())
        .record(answer.latency.as_secs_f64());
    if let Err(error) = &answer.result {
        tracing::debug!(
            run.id = inner.progress.run().map(|run| run.to_string()),
            check.name = claim.key.check.name(),
            merchant.id = claim.key.appid,
            endpoint.name = request.endpoint().name(),
            errcode = error.errcode(),
            rid = error.rid(),
            class = class.name(),
            %error,
            "the call failed"
        );
    }
    let verdict = match &answer.result {
        Ok(reply) => check.judge(reply, moment),
        Err(error) => check.judge_failure(error, moment),
    };
    match (answer.result, verdict) {
        (result, Some(verdict)) => {
            // The merchant answered for itself, well or badly: the platform works.
            if class != Class::Halt {
                inner.dead.works();
                inner.platform_works().await;
            }
            let mut call = record(result.as_ref().err(), answer.rid, asked);
            if result.as_ref().is_err_and(CallError::closes_merchant) {
                call.closes_until = verdict.outcome.due_at();
            }
            Settled {
                outcome: verdict.outcome,
                finding: verdict.finding,
                call: Some(call),
                intent: message.map(|message| (message.number, intent_outcome(result.as_ref().err()))),
                free_at: free_at(inner, claim.key.check, moment.now),
                ..uncalled(claim, Outcome::Back)
            }
        }
        (Ok(_), None) => {
            tracing::error!(check.name = claim.key.check.name(), "the reply is no answer to the question: a bug");
            let due_at = moment.now + TimeDelta::hours(20);
            Settled {
                outcome: Outcome::Failed { due_at, reason: Class::Bug.name().to_owned() },
                intent: message.map(|message| (message.number, IntentOutcome::Unknown)),
                ..uncalled(claim, Outcome::Back)
            }
        }
        (Err(error), None) => {
            Box::pin(failed(inner, claim, &error, asked, message.map(|message| message.number))).await
        }
    }
}

/// Settles a claim whose step ended in a bug: it is not known what was sent, so that a message counts as made.
pub(super) fn broken(inner: &Inner, claim: &Claim) -> Settled {
    tracing::error!(check.name = claim.key.check.name(), merchant.id = claim.key.appid, "the step ended in a bug");
    let due_at = inner.now() + TimeDelta::hours(20);
    uncalled(claim, Outcome::Failed { due_at, reason: Class::Bug.name().to_owned() })
}

/// When a question was put, and how long its answer took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// On Postgres's clock, as this process knows it.
    pub at: DateTime<Utc>,
    /// Until the answer.
    pub latency: Duration,
}

/// Settles a failure that the check has no say in.
pub(super) async fn failed(
    inner: &Inner,
    claim: &Claim,
    error: &CallError,
    asked: Asked,
    message: Option<i32>,
) -> Settled {
    let check = claim.key.check;
    let now = inner.now();
    let (attempts, slowed) = (claim.attempts, claim.slowed);
    let tried = settle::Tried { check, attempts, slowed, asked_at: asked.at, now, jitter: rand::random() };
    if claim.slowed == 0 {
        // A refresh that was answered with it concerns the endpoint of the tokens, one that met a closure nothing new.
        let endpoint = match error {
            CallError::NoToken(TokenFault::SlowedDown { errcode: Some(_), .. }) => Some(Endpoint::ApiAuthorizerToken),
            CallError::NoToken(_) => None,
            _ => Some(check.endpoint()),
        };
        if let Some(endpoint) = endpoint {
            inner.slowed_down(endpoint, &claim.key.appid, error.class(), error.errcode()).await;
        }
    }
    inner.no_component(&claim.key.appid, error);
    if matches!(error, CallError::NoToken(TokenFault::Recovering(_) | TokenFault::Lost(_))) {
        inner.recovery.want();
    }
    let intent = message.map(|number| (number, intent_outcome(Some(error))));
    let outcome = match settle::settle(error, tried) {
        Some(outcome) => {
            // What is known of a token without a call says nothing of the platform.
            if error.class() != Class::Transient && matches!(error, CallError::Refused { .. }) {
                inner.platform_works().await;
                if error.class() != Class::Token {
                    inner.dead.works();
                }
            }
            outcome
        }
        // Nothing was the merchant's fault: the claim goes back unharmed.
        None if inner.platform_fault(check, &claim.key.appid, error).await => {
            return Settled { intent, ..uncalled(claim, Outcome::Back) };
        }
        // One merchant alone says so: its own tries are bounded.
        None => settle::settle_alone(tried),
    };
    let mut call = record(Some(error), error.rid().map(str::to_owned), asked);
    if error.closes_merchant() {
        call.closes_until = outcome.due_at();
    }
    // Whoever only waited for a token has no failure of its own, until it is given up for it.
    if matches!(outcome, Outcome::Failed { .. }) && call.detail.is_none() {
        call.detail = Some(error.to_string());
    }
    Settled { outcome, call: Some(call), intent, free_at: free_at(inner, check, now), ..uncalled(claim, Outcome::Back) }
}

/// Writes a message down before it is made. `Ok(None)`: this check messages nobody. An error is the settled claim.
async fn intend(inner: &Inner, claim: &Claim) -> Result<Option<Message>, Box<Settled>> {
    let Some((policy, intents)) = inner.purpose(claim.key.check) else { return Ok(None) };
    let outcome = match Box::pin(intents.write(inner, claim, policy)).await {
        Some(Intended::Yes { number, written_at, notify_users, show_profile }) => {
            return Ok(Some(Message { number, written_at, notify_users, show_profile }));
        }
        Some(Intended::Unsettled) => {
            let outcome = Outcome::Skipped { due_at: None, reason: "answer_lost".to_owned() };
            let finding = Some(Finding::Invite(InviteAnswer::Unknown));
            return Err(Box::new(Settled { finding, ..uncalled(claim, outcome) }));
        }
        Some(Intended::LeaseLost) => Outcome::Back,
        Some(Intended::Refused(Permission::Later { reason, until })) => {
            Outcome::Deferred { until, reason: reason.to_owned() }
        }
        Some(Intended::Refused(Permission::No { reason: "held" } | Permission::Granted)) => Outcome::Back,
        Some(Intended::Refused(Permission::No { reason })) => {
            Outcome::Skipped { due_at: None, reason: reason.to_owned() }
        }
        None => {
            let due_at = inner.now() + TimeDelta::seconds(5);
            Outcome::Again { due_at, reason: "intent_not_written".to_owned(), attempt: false }
        }
    };
    Err(Box::new(uncalled(claim, outcome)))
}

/// Waits for the slot of a message that is written down; when that took longer than the slot waits, for another one. `false`:
/// the call would end after the time that is written down for it, or must not be made any more, and nobody is called.
async fn in_time(inner: &Inner, claim: &Claim, mut permit: Option<Permit>, written_at: Instant) -> bool {
    let begin_by = written_at + inner.step_max().saturating_sub(inner.settings.call_deadline);
    loop {
        if let Some(permit) = &permit {
            permit.due().await;
        }
        if Instant::now() > begin_by {
            tracing::warn!(
                check.name = claim.key.check.name(),
                merchant.id = claim.key.appid,
                "writing a message down took so long that it is not sent now; it is tried again"
            );
            return false;
        }
        if permit.as_ref().is_some_and(Permit::still_good) {
            return true;
        }
        let next = tokio::select! {
            () = inner.stop.cancelled() => return false,
            next = inner.wire.pace().permit(inner.platform.id, claim.key.check.endpoint()) => next,
            // The next slot of a slow limit may be a minute away.
            () = tokio::time::sleep_until(begin_by.into()) => continue,
        };
        let Ok(next) = next else { return false };
        if inner.halted() {
            return false;
        }
        permit = Some(next);
    }
}

fn intent_outcome(error: Option<&CallError>) -> IntentOutcome {
    match error {
        None => IntentOutcome::Made,
        Some(error) if error.class() == Class::Pending || error.class() == Class::Already => IntentOutcome::Made,
        Some(error) if error.certainly_not_made() => IntentOutcome::NotMade,
        Some(_) => IntentOutcome::Unknown,
    }
}

fn record(error: Option<&CallError>, rid: Option<String>, asked: Asked) -> CallRecord {
    CallRecord {
        class: error.map_or(Class::Ok, CallError::class),
        errcode: error.and_then(CallError::errcode),
        rid: error.and_then(|error| error.rid().map(str::to_owned)).or(rid),
        asked_at: asked.at,
        latency: asked.latency,
        detail: error.filter(|error| !error.only_waited()).map(ToString::to_string),
        closes_until: None,
    }
}

/// When the merchant's own limit on the check's endpoint allows the next call.
fn free_at(inner: &Inner, check: CheckName, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let interval = Some(inner.merchant_interval(check.endpoint())).filter(|interval| !interval.is_zero())?;
    Some(now + TimeDelta::from_std(interval).unwrap_or_default())
}
