//! Intents: messages are written down together, as many as wait, so that a purpose is not bound to one wait for the disk each.
//!
//! Whoever comes while nobody writes, writes: its own message, and those of all who came meanwhile.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use tokio::sync::{oneshot, watch};

use super::Inner;
use crate::{
    domain::message::{MessagePolicy, Permission},
    store::{
        claim::Claim,
        intend::{Intended, Leased},
    },
};

/// The messages of one purpose that are about to be made: no more than there are slots.
#[derive(Default)]
pub(super) struct Intents {
    waiting: Mutex<Vec<(Leased, oneshot::Sender<Intended>)>>,
    /// Held while a batch is written.
    turn: tokio::sync::Mutex<()>,
    /// Until when all are refused, as the last batch was: quiet hours, or the day's cap.
    refused: watch::Sender<Option<DateTime<Utc>>>,
}

/// Until when these answers say that anybody is refused; a message that was granted says the contrary.
fn refused_until(answers: &[Intended]) -> Option<DateTime<Utc>> {
    if answers.iter().any(|answer| matches!(answer, Intended::Yes { .. })) {
        return None;
    }
    answers.iter().find_map(|answer| match answer {
        Intended::Refused(Permission::Later { reason: "quiet_hours" | "day_cap", until }) => Some(*until),
        _ => None,
    })
}

impl Intents {
    /// Writes a message down before it is made. `None`: Postgres did not say that it is written, and nobody may be messaged.
    ///
    /// May be dropped at any moment: what it was writing for others is then not written as far as they know.
    pub(super) async fn write(&self, inner: &Inner, claim: &Claim, policy: &MessagePolicy) -> Option<Intended> {
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push((Leased::of(claim), answer));
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer.ok(),
                _turn = self.turn.lock() => self.write_waiting(inner, policy).await,
            }
        }
    }

    async fn write_waiting(&self, inner: &Inner, policy: &MessagePolicy) {
        let (batch, answers): (Vec<_>, Vec<_>) = std::mem::take(&mut *self.waiting()).into_iter().unzip();
        match inner.store.intend(&batch, policy, inner.step_max()).await {
            Ok(intended) => {
                // Whoever waits for a slot meanwhile keeps its place, unless there is news.
                let now = refused_until(&intended);
                self.refused.send_if_modified(|known| std::mem::replace(known, now) != now);
                // Who has gone meanwhile has a message that counts as made, as after any call whose answer is lost.
                for (answer, intended) in answers.into_iter().zip(intended) {
                    answer.send(intended).ok();
                }
            }
            Err(error) => {
                tracing::warn!(messages = batch.len(), %error, "intents could not be written; nobody is messaged");
            }
        }
    }

    /// Until when all are refused, as far as is known, and when that changes. Only Postgres decides: who is refused needs no slot of
    /// the endpoint's, and who is granted a message all the same takes one then.
    pub(super) fn refused(&self) -> watch::Receiver<Option<DateTime<Utc>>> {
        self.refused.subscribe()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<(Leased, oneshot::Sender<Intended>)>> {
        self.waiting.lock().expect("nobody panics while holding the list")
    }
}
