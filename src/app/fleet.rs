//! The platforms that an unattended process patrols: each with an engine of its own, taken up when it is added or can
//! work again, left in order when it is disabled, and taken up anew when its settings change. What one platform lacks
//! stops no other: it is said, shown, and tried again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{App, AppError, Ready, platforms::Member};
use crate::{
    domain::PlatformId,
    patrol::{Away, Patrol, Until},
    schedule::listener::Listener,
    store::StoreError,
};

/// How often the platforms are looked up: a new one is patrolled, and one in trouble tried again, within this.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// How a platform stands in this process.
#[derive(Clone)]
pub(super) enum Standing {
    /// It is patrolled.
    Patrols(Patrol),
    /// It can not be, and why.
    Waits(String),
    /// It is patrolled no more.
    Gone,
}

/// How every platform stands, by its appid: what the status server shows. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Roster {
    standings: Arc<RwLock<BTreeMap<String, Standing>>>,
    /// Whether Postgres was away when the ringing last asked it: what counts where no engine is there to say.
    database_away: Arc<AtomicBool>,
}

impl Roster {
    /// How every platform stands that this process has ever looked at.
    pub(super) fn standings(&self) -> BTreeMap<String, Standing> {
        self.standings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How Postgres is away, as far as this process has heard.
    pub(super) fn database_away(&self) -> Option<Away> {
        let standings = self.standings.read().unwrap_or_else(PoisonError::into_inner);
        let mut engines = standings
            .values()
            .filter_map(|standing| match standing {
                Standing::Patrols(patrol) => Some(patrol.progress().database_away()),
                Standing::Waits(_) | Standing::Gone => None,
            })
            .peekable();
        match engines.peek() {
            Some(_) => engines.flatten().next(),
            None => self.database_away.load(Ordering::Relaxed).then_some(Away::Silent),
        }
    }

    /// Notes whether Postgres answered.
    pub(super) fn set_database_away(&self, away: bool) {
        self.database_away.store(away, Ordering::Relaxed);
    }

    /// Takes the new standings, and says aloud which platform has begun or ceased to wait.
    fn take(&self, mut now: BTreeMap<String, Standing>) {
        let mut known = self.standings.write().unwrap_or_else(PoisonError::into_inner);
        for (platform, standing) in &now {
            match (standing, known.get(platform)) {
                (Standing::Waits(reason), Some(Standing::Waits(before))) if reason == before => {}
                (Standing::Waits(reason), _) => tracing::error!(platform, reason, "the platform can not be patrolled"),
                (Standing::Patrols(_), None | Some(Standing::Waits(_) | Standing::Gone)) => {
                    tracing::info!(platform, "the platform is patrolled");
                }
                (Standing::Patrols(_) | Standing::Gone, _) => {}
            }
        }
        for platform in known.keys() {
            now.entry(platform.clone()).or_insert(Standing::Gone);
        }
        *known = now;
    }
}

/// One platform under patrol.
pub(super) struct Post {
    member: Member,
    pub ready: Ready,
    pub patrol: Patrol,
    worker: JoinHandle<Result<(), StoreError>>,
    pub listener: Listener,
    pub syncing: Option<JoinHandle<()>>,
    /// Whether it was ever synced, so that syncs wait for their ticks.
    pub known: bool,
    /// Its tickets and events.
    attending: TaskTracker,
    leaving: bool,
}

impl Post {
    fn new(app: &App, member: Member, ready: Ready) -> Self {
        app.greet_token_source(&ready);
        let patrol = app.patrol(&ready, true);
        metrics::counter!("wxpatrol_patrols_total", "platform" => member.appid().to_owned()).increment(1);
        let worker = {
            let patrol = patrol.clone();
            tokio::spawn(async move { patrol.work(Until::Stopped).await.map(drop) })
        };
        let listener = Listener::new(app.store.clone(), member.row.id, member.appid().to_owned());
        let attending = app.attend(&ready, &member);
        Self { member, ready, patrol, worker, listener, syncing: None, known: false, attending, leaving: false }
    }

    /// Its appid.
    pub(super) fn platform(&self) -> &str {
        self.member.appid()
    }

    /// Whether a schedule is on for it.
    pub(super) fn on(&self, schedule: &str) -> bool {
        self.member.on(schedule)
    }

    fn over(&self) -> bool {
        self.worker.is_finished() && self.syncing.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end.
    async fn ended(self) -> Result<(), AppError> {
        let worked = self.worker.await;
        self.ready.stop.cancel();
        if let Some(syncing) = self.syncing {
            syncing.await.ok();
        }
        self.attending.wait().await;
        match worked {
            Ok(worked) => worked.map_err(|error| AppError::Incomplete(error.to_string())),
            Err(error) => Err(AppError::Incomplete(format!("the engine ended in a bug: {error}"))),
        }
    }
}

/// What follows from a look at the platforms.
#[must_use]
pub(super) enum Looked {
    /// The work goes on.
    GoesOn,
    /// The only engine there was has ended by itself: so does the process, and whoever runs it starts a fresh one.
    Ended(AppError),
}

/// The platforms under patrol.
#[derive(Default)]
pub(super) struct Fleet {
    posts: BTreeMap<PlatformId, Post>,
    /// What ends the asking for tickets of platforms that wait for their first one.
    waiting: BTreeMap<PlatformId, (Member, CancellationToken)>,
    roster: Roster,
}

impl Fleet {
    /// What the status server shows.
    pub(super) fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// The platforms under patrol that are not being left.
    pub(super) fn posts(&mut self) -> impl Iterator<Item = &mut Post> {
        self.posts.values_mut().filter(|post| !post.leaving)
    }

    /// Looks up the platforms, and takes up and leaves what is to be. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: everything goes on as it was.
    pub(super) async fn look(&mut self, app: &App) -> Result<Looked, StoreError> {
        let members = app.patrolled().await?;
        for post in self.posts.values().filter(|post| post.worker.is_finished()) {
            // Its sync goes on with the engine that follows.
            post.ready.stop.cancel();
        }
        if let Looked::Ended(error) = self.bury().await {
            return Ok(Looked::Ended(error));
        }
        for post in self.posts.values_mut().filter(|post| !post.leaving) {
            let row = &post.member.row;
            match members.iter().find(|member| member.row.id == row.id && member.row.patrolled_as(row)) {
                // Its schedules may be others.
                Some(member) => post.member = member.clone(),
                None => {
                    let platform = post.member.appid();
                    tracing::info!(platform, "the platform's settings changed; its patrol ends in order");
                    post.leaving = true;
                    post.ready.stop.cancel();
                }
            }
        }
        // A platform whose settings changed is asked for with what they are now, and one that is none any more not at all.
        self.waiting.retain(|_, (waiting, asking)| {
            let row = &waiting.row;
            let goes_on = members.iter().any(|member| member.row.id == row.id && member.row.patrolled_as(row));
            if !goes_on {
                asking.cancel();
            }
            goes_on
        });
        let mut standings = BTreeMap::new();
        for member in members {
            let appid = member.appid().to_owned();
            let standing = match self.posts.get(&member.row.id) {
                Some(post) => Standing::Patrols(post.patrol.clone()),
                None => match app.ready_for(&member).await {
                    Ok(ready) => {
                        if let Some((_, asking)) = self.waiting.remove(&member.row.id) {
                            asking.cancel();
                        }
                        // It may be here because what halted it was mended: a secret, an address.
                        app.store.hasten_probe(member.row.id).await?;
                        let post = Post::new(app, member, ready);
                        let standing = Standing::Patrols(post.patrol.clone());
                        self.posts.insert(post.member.row.id, post);
                        standing
                    }
                    Err(AppError::Store(
                        error @ (StoreError::Postgres(_) | StoreError::ReadOnly(_) | StoreError::Collision(_)),
                    )) => {
                        return Err(error);
                    }
                    Err(error) => {
                        self.wait_for_tickets(app, &member).await;
                        Standing::Waits(error.to_string())
                    }
                },
            };
            standings.insert(appid, standing);
        }
        self.roster.take(standings);
        Ok(Looked::GoesOn)
    }

    /// Has WeChat asked for a platform's first ticket, where this process would hear it.
    async fn wait_for_tickets(&mut self, app: &App, member: &Member) {
        if app.config.receiver.is_none() || self.waiting.contains_key(&member.row.id) {
            return;
        }
        // What it lacks besides is told already.
        if let Ok(ready) = app.made_ready(member, true).await {
            app.attend(&ready, member);
            self.waiting.insert(member.row.id, (member.clone(), ready.stop));
        }
    }

    /// Takes away the engines that have ended. One that ended by itself while others work is taken up again by the same
    /// look, so that nothing that befalls one platform ends the work on the others.
    async fn bury(&mut self) -> Looked {
        let over: Vec<PlatformId> = self.posts.iter().filter(|(_, post)| post.over()).map(|(id, _)| *id).collect();
        for id in over {
            let Some(post) = self.posts.remove(&id) else { continue };
            let (platform, leaving) = (post.platform().to_owned(), post.leaving);
            match post.ended().await {
                Ok(()) if leaving => tracing::info!(platform, "the platform's patrol has ended in order"),
                Ok(()) => tracing::error!(platform, "the platform's patrol has ended by itself; it begins anew"),
                Err(error) if !leaving && self.posts.is_empty() => return Looked::Ended(error),
                Err(error) => tracing::error!(platform, %error, "the platform's patrol has ended; it begins anew"),
            }
        }
        Looked::GoesOn
    }

    /// Waits until every engine has ended; the app's signal has told them to.
    ///
    /// # Errors
    /// The first that did not end in order.
    pub(super) async fn ended(self) -> Result<(), AppError> {
        let mut first = Ok(());
        for post in self.posts.into_values() {
            let ended = post.ended().await;
            if first.is_ok() {
                first = ended;
            }
        }
        first
    }
}

impl App {
    /// The platforms that an unattended process is to patrol, or to name as one that it can not: the enabled ones, but for
    /// those whose secret only another process has.
    async fn patrolled(&self) -> Result<Vec<Member>, StoreError> {
        let known = match self.known_platforms().await {
            Ok(known) => known,
            Err(AppError::Store(error)) => return Err(error),
            Err(error) => return Err(StoreError::Inconsistent(error.to_string())),
        };
        let wanted = |member: &Member| {
            member.row.enabled
                && (member.has_secret() || !member.row.named_lately)
                && self.named.as_ref().is_none_or(|named| named == member.appid())
        };
        Ok(known.into_iter().filter(wanted).collect())
    }
}
