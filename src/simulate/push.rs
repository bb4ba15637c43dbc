//! What WeChat tells the platform's event URL: tickets and events, sealed or as plain JSON, on its own account or as a
//! test scripts them, faults included.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::gauge::{hold, micros};
use super::parcel::Parcel;
use super::refusal::WorldError;
use super::world::World;

/// WeChat pushes a ticket this often.
const TICKETS_EVERY: Duration = Duration::from_secs(600);
/// A pushed ticket is good for so long.
const TICKET_LIVES: Duration = Duration::from_secs(12 * 3600);
/// An authorization code is good for so long.
pub(super) const CODE_LIVES: Duration = Duration::from_secs(3600);
/// The longest wait for an answer, as WeChat waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// An event that is not answered well is told again so often, a little later each time.
const TRIES: u32 = 8;
/// The most answers that are remembered.
const REMEMBERED: usize = 10_000;

/// Where the platform listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverUrl {
    /// `http://host:port/path`; `None`: nowhere any more.
    pub url: Option<String>,
    /// Plain JSON, as platforms get it that WeChat hosts, instead of sealed XML.
    #[serde(default)]
    pub plain_json: bool,
    /// Whether tickets every ten minutes, and events as merchants come and go, are pushed without being asked for.
    #[serde(default = "yes")]
    pub automatic: bool,
}

fn yes() -> bool {
    true
}

/// A push that a test asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// `component_verify_ticket`, `authorized`, `updateauthorized`, `unauthorized`, or anything else.
    pub info_type: String,
    /// The merchant, for what is about one.
    pub appid: Option<String>,
    /// So many seconds ago it happened (CreateTime); below zero: it is still to come.
    pub seconds_ago: i64,
    /// CreateTime itself, in seconds since 1970, instead.
    pub created_at: Option<i64>,
    /// The ticket or the code instead of a new one.
    pub secret: Option<String>,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// What is wrong with a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A signature with another token.
    ForgedSignature,
    /// Sealed for another platform than the envelope names.
    WrongAppid,
    /// The envelope names another platform.
    OtherPlatform,
    /// The ciphertext ends early, and is signed like that.
    Truncated,
    /// The last byte says more padding than there is.
    BadPadding,
    /// The ciphertext is no base64.
    BadBase64,
    /// A body of many megabytes.
    Oversized,
    /// Entities that expand to billions of letters.
    EntityExpansion,
    /// Elements inside of elements, thousands deep.
    DeepNesting,
    /// The field that matters is not there.
    MissingField,
    /// Signed two hours ago.
    StaleTimestamp,
    /// The last push once more, to the letter.
    Replayed,
}

/// What a push was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// What it told.
    pub info_type: String,
    /// The merchant it told about.
    pub appid: Option<String>,
    /// The HTTP status; 0: no answer came.
    pub status: u16,
    /// The body of the answer, or why there is none.
    pub answer: String,
}

impl Pushed {
    /// Whether WeChat is content, and does not come again.
    #[must_use]
    pub fn taken(&self) -> bool {
        self.status == 200 && self.answer == "success"
    }
}

/// What the world knows of its pushes.
#[derive(Default)]
pub(super) struct Pushes {
    receiver: Option<Receiver>,
    /// Somebody stopped the tickets once: only `api_start_push_ticket` has them pushed again.
    stopped: bool,
    /// When each ticket was issued; its place is its number.
    tickets: Vec<u64>,
    last_ticket_at: Option<u64>,
    outbox: Vec<Happened>,
    last: Option<Parcel>,
    answers: VecDeque<Pushed>,
    pub nonces: u32,
}

/// Something that happened and is to be told.
#[derive(Clone, Debug)]
pub(super) struct Happened {
    pub info_type: String,
    pub appid: Option<String>,
    /// In seconds since 1970.
    pub created_at: i64,
    /// The ticket or the code.
    pub secret: String,
}

/// [`ReceiverUrl`], read.
#[derive(Clone, Debug)]
struct Receiver {
    url: Url,
    plain_json: bool,
    automatic: bool,
}

impl World {
    /// Says where the platform listens. From then on, unless `automatic` is off, a ticket goes there every ten minutes of
    /// the simulated clock, and an event whenever a merchant comes, changes or goes.
    ///
    /// # Errors
    /// When the URL is not plain HTTP with a host.
    pub fn set_receiver(&self, receiver: ReceiverUrl) -> Result<(), WorldError> {
        let ReceiverUrl { url, plain_json, automatic } = receiver;
        let url = url.map(|url| Url::parse(&url).map_err(|_| WorldError::BadUrl)).transpose()?;
        if url.as_ref().is_some_and(|url| url.scheme() != "http" || url.host_str().is_none()) {
            return Err(WorldError::BadUrl);
        }
        let mut pushes = hold(&self.pushes);
        // Where it listens now is no reason to push again what was stopped.
        if pushes.receiver.is_none() && url.is_some() && !pushes.stopped {
            self.ticket_pushed.store(true, Ordering::Relaxed);
        }
        pushes.receiver = url.map(|url| Receiver { url, plain_json, automatic });
        Ok(())
    }

    /// WeChat stops pushing tickets, until `api_start_push_ticket`.
    pub fn stop_tickets(&self) {
        hold(&self.pushes).stopped = true;
        self.ticket_pushed.store(false, Ordering::Relaxed);
    }

    /// What the last ten thousand pushes were answered, in order.
    #[must_use]
    pub fn pushes(&self) -> Vec<Pushed> {
        hold(&self.pushes).answers.iter().cloned().collect()
    }

    /// The newest ticket; the plan's as long as none was pushed.
    #[must_use]
    pub fn newest_ticket(&self) -> String {
        let issued = hold(&self.pushes).tickets.len();
        issued.checked_sub(1).map_or_else(|| self.plan.verify_ticket.clone(), |number| self.ticket(number))
    }

    fn ticket(&self, number: usize) -> String {
        format!("{}@{number}", self.plan.verify_ticket)
    }

    /// Whether `api_component_token` takes a ticket: the plan's always, a pushed one for twelve hours. The errcode otherwise.
    pub(super) fn check_ticket(&self, ticket: &str) -> Result<(), i64> {
        if ticket == self.plan.verify_ticket {
            return Ok(());
        }
        let number =
            ticket.strip_prefix(&self.plan.verify_ticket).and_then(|rest| rest.strip_prefix('@')?.parse().ok());
        let issued_at = number.and_then(|number: usize| hold(&self.pushes).tickets.get(number).copied());
        let issued_at = issued_at.ok_or(61006)?;
        if self.now() < issued_at.saturating_add(micros(TICKET_LIVES)) { Ok(()) } else { Err(61005) }
    }

    fn issue_ticket(&self) -> String {
        let now = self.now();
        let mut pushes = hold(&self.pushes);
        pushes.tickets.push(now);
        self.ticket(pushes.tickets.len() - 1)
    }

    /// A new authorization code of a merchant; the one before is void.
    pub(super) fn issue_code(&self, place: u32) -> String {
        let until = self.now().saturating_add(micros(CODE_LIVES));
        let mut merchant = self.merchant(place);
        merchant.code_serial += 1;
        merchant.code_until = until;
        format!("queryauthcode@@@{}-code-{}-{}", self.mark, self.plan.appid(place), merchant.code_serial)
    }

    /// Notes what happened to a merchant, to be told at once when pushes are automatic.
    pub(super) fn tell(&self, info_type: &str, place: u32) {
        if !hold(&self.pushes).receiver.as_ref().is_some_and(|receiver| receiver.automatic) {
            return;
        }
        let secret = if info_type == "unauthorized" { String::new() } else { self.issue_code(place) };
        let happened = Happened {
            info_type: info_type.to_owned(),
            appid: Some(self.plan.appid(place)),
            created_at: self.push_now(),
            secret,
        };
        hold(&self.pushes).outbox.push(happened);
        self.told.notify_one();
    }

    /// The merchant changes what it grants: other permission sets, a new refresh token, and an event that tells of it.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn update_authorization(&self, appid: &str, sets: &[u16]) -> Result<(), WorldError> {
        let place = self.place(appid)?;
        {
            let now = self.unix_now();
            let mut merchant = self.merchant(place);
            merchant.permission_sets = Some(sets.into());
            merchant.authorizes(now);
        }
        self.tell("updateauthorized", place);
        Ok(())
    }

    /// Whether the account has API rights at all; without them `api_query_auth` gives no tokens for it.
    ///
    /// # Errors
    /// When the merchant is unknown.
    pub fn set_api_rights(&self, appid: &str, on: bool) -> Result<(), WorldError> {
        self.change(appid, |merchant| merchant.no_api_rights = !on)
    }

    /// Pushes once, and waits for the answer.
    ///
    /// # Errors
    /// When the merchant is unknown, or nobody has said where the platform listens.
    pub async fn push(&self, push: &Push) -> Result<Pushed, WorldError> {
        let receiver = hold(&self.pushes).receiver.clone().ok_or(WorldError::NoReceiver)?;
        let parcel = self.parcel(push, receiver.plain_json)?;
        Ok(self.deliver(&receiver, parcel).await)
    }

    fn parcel(&self, push: &Push, plain_json: bool) -> Result<Parcel, WorldError> {
        if push.fault == Some(Fault::Replayed) {
            return hold(&self.pushes).last.clone().ok_or(WorldError::NothingToReplay);
        }
        if push.info_type.is_empty() {
            return Err(WorldError::NothingToTell);
        }
        if plain_json && push.fault.is_some_and(|fault| fault != Fault::MissingField) {
            return Err(WorldError::NotSealed);
        }
        let place = push.appid.as_deref().map(|appid| self.place(appid)).transpose()?;
        let secret = match (&push.secret, push.info_type.as_str(), place) {
            (Some(secret), _, _) => secret.clone(),
            (None, "component_verify_ticket", _) => self.issue_ticket(),
            (None, "authorized" | "updateauthorized", Some(place)) => self.issue_code(place),
            (None, _, _) => String::new(),
        };
        let happened = Happened {
            info_type: push.info_type.clone(),
            appid: push.appid.clone(),
            created_at: push.created_at.unwrap_or_else(|| self.push_now().saturating_sub(push.seconds_ago)),
            secret,
        };
        Ok(self.wrapped(&happened, plain_json, push.fault))
    }

    async fn deliver(&self, receiver: &Receiver, parcel: Parcel) -> Pushed {
        let answered = match tokio::time::timeout(PATIENCE, parcel.post(&receiver.url)).await {
            Ok(answered) => answered,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let (status, answer) = answered.unwrap_or_else(|error| (0, error.to_string()));
        let pushed = Pushed { info_type: parcel.info_type.clone(), appid: parcel.appid.clone(), status, answer };
        let mut pushes = hold(&self.pushes);
        if pushes.answers.len() >= REMEMBERED {
            pushes.answers.pop_front();
        }
        pushes.answers.push_back(pushed.clone());
        pushes.last = Some(parcel);
        pushed
    }
}

/// Tells what is due and what has happened, until the server stops.
pub(super) async fn keep_telling(world: Arc<World>) {
    loop {
        tokio::select! {
            () = world.stopping.cancelled() => return,
            () = world.told.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        let (receiver, outbox) = {
            let mut pushes = hold(&world.pushes);
            (pushes.receiver.clone(), std::mem::take(&mut pushes.outbox))
        };
        let Some(receiver) = receiver.filter(|receiver| receiver.automatic) else { continue };
        for happened in outbox {
            tokio::spawn(tell_until_taken(Arc::clone(&world), happened));
        }
        let now = world.now();
        let due = {
            let mut pushes = hold(&world.pushes);
            let due = pushes.last_ticket_at.is_none_or(|at| now >= at.saturating_add(micros(TICKETS_EVERY)));
            let due = due && world.ticket_pushed.load(Ordering::Relaxed);
            if due {
                pushes.last_ticket_at = Some(now);
            }
            due
        };
        if due {
            let push = Push { info_type: "component_verify_ticket".to_owned(), ..Push::default() };
            if let Ok(parcel) = world.parcel(&push, receiver.plain_json) {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.deliver(&receiver, parcel).await });
            }
        }
    }
}

async fn tell_until_taken(world: Arc<World>, happened: Happened) {
    for turn in 0..TRIES {
        // It may listen elsewhere by now, or nowhere.
        let receiver = hold(&world.pushes).receiver.clone();
        let Some(receiver) = receiver.filter(|receiver| receiver.automatic) else { return };
        let parcel = world.wrapped(&happened, receiver.plain_json, None);
        if world.deliver(&receiver, parcel).await.taken() {
            return;
        }
        tokio::select! {
            () = world.stopping.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(500 << turn.min(5))) => {}
        }
    }
}
