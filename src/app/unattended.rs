//! `run`: unattended. Schedules ring for each platform, ticks become runs, every process works on every open run, until a
//! signal comes.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::{
    App, AppError, Exit,
    fleet::{self, Fleet, Looked, Post},
    merchants, status_server,
};
use crate::{
    patrol::end_of_one_process,
    schedule::{
        self, Schedule,
        listener::{DEADLINE, Heard},
    },
    store::{runs::RunState, ticks::Begun},
    telemetry,
};

/// How often old rows are looked for.
const TIDY: Duration = Duration::from_secs(3600);

impl App {
    /// Patrols until a signal comes.
    pub(super) async fn run_unattended(&self) -> Result<Exit, AppError> {
        let metrics = telemetry::install_metrics()
            .map_err(|error| AppError::Input(format!("the metrics could not be set up: {error}")))?;
        super::metric_words::describe();
        // Nothing to patrol is a fault of the start; what comes later is waited for.
        for member in self.members().await? {
            // Two refreshers take each other's tokens away: that is no trouble to wait out.
            self.external_tokens(member.row.id, member.appid()).await?;
            // Nor is a list of merchants that can not be read.
            self.merchant_source(member.appid()).await?;
        }
        self.mind_the_identity().await;
        let mut fleet = Fleet::default();
        let served = status_server::serve(self.config.status_addr, fleet.roster(), metrics, self.stop.clone())
            .await
            .map_err(|error| {
                AppError::Input(format!(
                    "the status server can not listen on {}: {error}; set WXPATROL_STATUS_ADDR",
                    self.config.status_addr
                ))
            })?;
        let receiving = self.receive_events().await?;
        let _goes_on = fleet.look(self).await?;
        let schedules = self.schedules();
        for schedule in &schedules {
            let next = schedule.cadence.next_after(self.store.now());
            tracing::info!(schedule = schedule.name, next = next.map(|next| next.to_rfc3339()), "schedule");
        }
        let (ring, mut rings) = mpsc::channel(1);
        let mut alarm = schedule::alarm(ring)
            .await
            .map_err(|error| AppError::Input(format!("the alarm clock could not be set: {error}")))?;
        let working = async {
            tokio::select! {
                stuck = self.keep_ringing(&mut fleet, &schedules, &mut rings) => stuck,
                () = self.keep_tidy() => None,
            }
        };
        // Also while every platform waits for its first ticket, and none has an engine.
        let stuck = self.alive_while(working).await;
        self.stop.cancel();
        alarm.shutdown().await.ok();
        let ended = fleet.ended().await;
        served.await.ok();
        if let Some(receiving) = receiving {
            receiving.await.ok();
        }
        if let Some(stuck) = stuck {
            return Err(stuck);
        }
        ended?;
        tracing::info!("stopped in order");
        Ok(Exit::Done)
    }

    /// Deletes what is too old from time to time, for ever. What a stop cuts short, the next process goes on with.
    async fn keep_tidy(&self) {
        loop {
            self.tidy().await;
            tokio::time::sleep(TIDY).await;
        }
    }

    /// Hears rings, looks after the platforms, and sees to what the ticks of each begin, until a signal comes.
    /// `Some`: until there was nothing left that works.
    async fn keep_ringing(
        &self,
        fleet: &mut Fleet,
        schedules: &[Schedule],
        rings: &mut mpsc::Receiver<()>,
    ) -> Option<AppError> {
        let mut look_at = Instant::now() + fleet::LOOK;
        let mut meet_at = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                goes_on = schedule::rung(rings) => if !goes_on { return None },
            }
            let looks = look_at <= Instant::now();
            if looks {
                look_at = Instant::now() + fleet::LOOK;
            }
            let meets = meet_at <= Instant::now();
            if meets {
                meet_at = Instant::now() + fleet::LOOK;
            }
            // A stop does not wait for a Postgres that is silent; what is begun by then ends like what a dead process left.
            tokio::select! {
                () = self.stop.cancelled() => return None,
                ended = self.ring(fleet, schedules, looks, meets) => if let Some(error) = ended { return Some(error) },
            }
        }
    }

    /// What one ring is for. `Some`: there is nothing left that works.
    async fn ring(&self, fleet: &mut Fleet, schedules: &[Schedule], looks: bool, meets: bool) -> Option<AppError> {
        if looks {
            match fleet.look(self).await {
                // Who messages people looks for itself before each message; this tells an operator soon.
                Ok(Looked::GoesOn) => self.mind_the_identity().await,
                Ok(Looked::Ended(error)) => return Some(error),
                Err(error) => {
                    tracing::warn!(%error, "the platforms could not be looked up; everything goes on as it was");
                }
            }
        }
        let now = self.store.read_clock().await;
        fleet.roster().set_database_away(now.is_err());
        let Ok(now) = now else { return None };
        for post in fleet.posts() {
            self.hear(post, schedules, now).await;
        }
        if meets {
            for post in fleet.posts() {
                self.take_up(post).await;
                self.meet(post, schedules).await;
            }
        }
        None
    }

    /// Hears a ring for one platform, and sees to what it begins.
    async fn hear(&self, post: &mut Post, schedules: &[Schedule], now: DateTime<Utc>) {
        let on: Vec<&Schedule> = schedules.iter().filter(|schedule| post.on(&schedule.name)).collect();
        post.patrol.hears(on.iter().map(|schedule| schedule.name.clone()).collect());
        let Heard { begun, news } = post.listener.hear(&on, now).await;
        if news {
            post.patrol.look();
        }
        for begun in begun.into_iter().filter(|begun| begun.schedule == "sync") {
            self.begin_sync(post, begun).await;
        }
    }

    /// A sync that this process began and does not do: Postgres was away when it was begun or ended, and its schedule would
    /// wait for it most of a day.
    async fn take_up(&self, post: &mut Post) {
        if post.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished()) {
            return;
        }
        match self.store.begun_sync(post.ready.platform.id).await {
            Ok(Some(begun)) => {
                tracing::info!(platform = post.platform(), run.id = %begun.run_id, "a sync that was begun is taken up");
                self.begin_sync(post, begun).await;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(platform = post.platform(), %error, "whether a sync was left is asked later");
            }
        }
    }

    /// A platform that was never synced is synced at once: its nightly tick may be most of a day away. So is one that is halted
    /// while nothing else would try it.
    async fn meet(&self, post: &mut Post, schedules: &[Schedule]) {
        let syncs = schedules.iter().any(|schedule| schedule.name == "sync") && post.on("sync");
        let halted = post.patrol.halted().is_some();
        if post.known && !halted || !syncs {
            return;
        }
        match self.store.begin_first_sync(post.ready.platform.id, DEADLINE).await {
            Ok((known, begun)) => {
                post.known = known;
                if let Some(begun) = begun {
                    let platform = post.platform();
                    let why = if halted { "the halted platform is tried" } else { "it was never synced" };
                    tracing::info!(platform, run.id = %begun.run_id, "{why}: a sync begins");
                    self.begin_sync(post, begun).await;
                }
            }
            Err(error) => {
                tracing::warn!(platform = post.platform(), %error, "whether it was ever synced is asked later")
            }
        }
    }

    /// Does a sync's work. Its run is open until then, so that the next one overlaps.
    async fn begin_sync(&self, post: &mut Post, begun: Begun) {
        let store = self.store.clone();
        let label = post.platform().to_owned().into();
        let close = async move |state, reason: Option<&str>| {
            if let Err(error) = end_of_one_process(&store, &label, begun.run_id, state, reason).await {
                tracing::warn!(run.id = %begun.run_id, %error, "the run of the sync could not be closed");
            }
        };
        // Only a run that was closed as overdue leaves its sync behind.
        if post.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished()) {
            close(RunState::Interrupted, Some("the sync before it has not ended")).await;
            return;
        }
        let sync = self.syncer(&post.ready);
        let platform = post.platform().to_owned();
        post.syncing = Some(tokio::spawn(async move {
            match sync.run().await {
                Ok(synced) => {
                    tracing::info!(
                        platform,
                        listed = synced.listed,
                        informed = synced.informed,
                        failed = synced.failed,
                        withdrawn = synced.withdrawn,
                        complete = synced.complete,
                        "synced"
                    );
                    // A merchant whose info can not be read is his own trouble, as one whose check fails; a list that proves
                    // nothing is the whole's.
                    let read = synced.complete && synced.unreadable == 0;
                    let reason = (!read).then(|| merchants::told(&synced));
                    close(if read { RunState::Complete } else { RunState::Interrupted }, reason.as_deref()).await;
                }
                Err(error) => {
                    tracing::error!(platform, %error, "the sync ended early; the next one goes on");
                    let state = if error.is_the_platform_s() { RunState::Halted } else { RunState::Interrupted };
                    close(state, Some(&error.to_string())).await;
                }
            }
        }));
    }
}
