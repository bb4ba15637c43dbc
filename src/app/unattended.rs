//! `run`: unattended. Schedules ring for each platform, ticks become runs, every process works on every open run, until a
//! signal comes.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use super::{
    App, AppError, Exit,
    fleet::{self, Fleet, Looked, Post},
    status_server,
};
use crate::{
    domain::CheckName,
    schedule::{self, Schedule},
    store::{StoreError, runs::Tick},
    telemetry,
};

/// A tick's run is closed as interrupted after this.
const DEADLINE: Duration = Duration::from_secs(20 * 3600);
/// A tick that is older than this is not caught up with.
const CATCH_UP: TimeDelta = TimeDelta::hours(6);
const SECOND: TimeDelta = TimeDelta::seconds(1);
/// How often old rows are looked for.
const TIDY: Duration = Duration::from_secs(3600);

impl App {
    /// Patrols until a signal comes.
    pub(super) async fn run_unattended(&self) -> Result<Exit, AppError> {
        let metrics = telemetry::install_metrics()
            .map_err(|error| AppError::Input(format!("the metrics could not be set up: {error}")))?;
        super::metric_words::describe();
        // Nothing to patrol is a fault of the start; what comes later is waited for.
        self.members().await?;
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
        let stuck = self.keep_ringing(&mut fleet, &schedules, &mut rings).await;
        self.stop.cancel();
        alarm.shutdown().await.ok();
        let ended = fleet.ended().await;
        served.await.ok();
        if let Some(receiving) = receiving {
            receiving.await.ok();
        }
        self.leave().await;
        if let Some(stuck) = stuck {
            return Err(stuck);
        }
        ended?;
        tracing::info!("stopped in order");
        Ok(Exit::Done)
    }

    fn schedules(&self) -> Vec<Schedule> {
        let checks =
            self.config.check_schedules.iter().filter_map(|(check, cadence)| {
                Some(Schedule { name: check.name().to_owned(), cadence: cadence.clone()? })
            });
        let sync = self.config.sync_schedule.clone().filter(|_| self.can_sync());
        let sync = sync.map(|cadence| Schedule { name: "sync".to_owned(), cadence });
        checks.chain(sync).collect()
    }

    /// Hears rings, looks after the platforms, and asks each schedule of each for its newest tick, until a signal comes.
    /// `Some`: until there was nothing left that works.
    async fn keep_ringing(
        &self,
        fleet: &mut Fleet,
        schedules: &[Schedule],
        rings: &mut mpsc::Receiver<()>,
    ) -> Option<AppError> {
        let mut tidy_at = Instant::now();
        let mut look_at = Instant::now() + fleet::LOOK;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                ring = rings.recv() => ring?,
            }
            if tidy_at <= Instant::now() {
                tidy_at = Instant::now() + TIDY;
                self.tidy().await;
            }
            if look_at <= Instant::now() {
                look_at = Instant::now() + fleet::LOOK;
                match fleet.look(self).await {
                    Ok(Looked::GoesOn) => {}
                    Ok(Looked::Ended(error)) => return Some(error),
                    Err(error) => {
                        tracing::warn!(%error, "the platforms could not be looked up; everything goes on as it was");
                    }
                }
            }
            let Ok(now) = self.store.read_clock().await else { continue };
            for post in fleet.posts() {
                for schedule in schedules {
                    if post.on(&schedule.name) {
                        self.hear(post, schedule, now).await;
                    } else {
                        post.heard_until.remove(&schedule.name);
                    }
                }
            }
        }
    }

    /// Asks a schedule for its newest tick. Ticks that were missed while nobody listened for longer than a beat count as
    /// one.
    async fn hear(&self, post: &mut Post, schedule: &Schedule, now: DateTime<Utc>) {
        let since = match post.heard_until.get(&schedule.name) {
            Some(since) => *since,
            None => match self.store.last_tick(post.ready.platform.id, &schedule.name).await {
                // A restart catches up with the newest tick that nobody heard; a first start does not look back.
                Ok(last) => last.map_or(now, |last| (last + SECOND).max(now - CATCH_UP)),
                Err(_) => return,
            },
        };
        post.heard_until.insert(schedule.name.clone(), since);
        let Some(fire_at) = schedule::newest_tick(&schedule.cadence, since, now) else { return };
        match self.tick(post, schedule, fire_at).await {
            Ok(tick) => {
                post.heard_until.insert(schedule.name.clone(), fire_at + SECOND);
                let said = format!("{tick:?}").to_lowercase();
                let platform = post.platform();
                tracing::info!(platform, schedule = schedule.name, fire_at = %fire_at.to_rfc3339(), tick = said, "tick");
                post.patrol.look();
            }
            // Not heard: the next ring tries the same tick again.
            Err(error) => tracing::warn!(schedule = schedule.name, %error, "the tick waits for Postgres"),
        }
    }

    async fn tick(&self, post: &mut Post, schedule: &Schedule, fire_at: DateTime<Utc>) -> Result<Tick, StoreError> {
        let platform = post.ready.platform.id;
        if let Ok(check) = schedule.name.parse::<CheckName>() {
            return self.store.tick(platform, &schedule.name, fire_at, &[check], DEADLINE).await;
        }
        // A sync has no checks and so no coverage: its run row only makes the tick happen once over all processes.
        let tick = self.store.tick(platform, &schedule.name, fire_at, &[], DEADLINE).await?;
        if tick == Tick::Opened && post.syncing.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
            let sync = self.syncer(&post.ready);
            let platform = post.platform().to_owned();
            post.syncing = Some(tokio::spawn(async move {
                match sync.run().await {
                    Ok(synced) => tracing::info!(
                        platform,
                        listed = synced.listed,
                        informed = synced.informed,
                        failed = synced.failed,
                        withdrawn = synced.withdrawn,
                        complete = synced.complete,
                        "synced"
                    ),
                    Err(error) => {
                        tracing::error!(platform, %error, "the sync ended early; the next one goes on");
                    }
                }
            }));
        }
        Ok(tick)
    }
}
