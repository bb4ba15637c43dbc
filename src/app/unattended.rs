//! `run`: unattended. Schedules ring, ticks become runs, every process works on every open run, until a signal comes.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use super::{App, AppError, Exit, Ready, status_server};
use crate::{
    domain::CheckName,
    patrol::{Patrol, Until},
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
        let ready = self.ready().await?;
        self.mind_the_identity().await;
        self.greet_token_source(&ready);
        let patrol = self.patrol(&ready, true);
        let served = status_server::serve(self.config.status_addr, patrol.clone(), metrics, self.stop.clone())
            .await
            .map_err(|error| {
                AppError::Input(format!(
                    "the status server can not listen on {}: {error}; set WXPATROL_STATUS_ADDR",
                    self.config.status_addr
                ))
            })?;
        let schedules = self.schedules();
        for schedule in &schedules {
            let next = schedule.cadence.next_after(self.store.now());
            tracing::info!(schedule = schedule.name, next = next.map(|next| next.to_rfc3339()), "schedule");
        }
        let (ring, mut rings) = mpsc::channel(1);
        let mut alarm = schedule::alarm(ring)
            .await
            .map_err(|error| AppError::Input(format!("the alarm clock could not be set: {error}")))?;
        let worker = {
            let patrol = patrol.clone();
            tokio::spawn(async move { patrol.work(Until::Stopped).await })
        };
        self.keep_ringing(&ready, &patrol, &schedules, &mut rings).await;
        alarm.shutdown().await.ok();
        let worked =
            worker.await.map_err(|error| AppError::Incomplete(format!("the engine ended in a bug: {error}")))?;
        served.await.ok();
        self.leave().await;
        worked?;
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

    /// Hears rings, and asks each schedule for its newest tick. Ticks that were missed while nobody listened for longer
    /// than a beat count as one.
    async fn keep_ringing(
        &self,
        ready: &Ready,
        patrol: &Patrol,
        schedules: &[Schedule],
        rings: &mut mpsc::Receiver<()>,
    ) {
        let mut heard_until: HashMap<usize, DateTime<Utc>> = HashMap::new();
        let mut tidy_at = Instant::now();
        let mut syncing: Option<tokio::task::JoinHandle<()>> = None;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                ring = rings.recv() => if ring.is_none() { break },
            }
            if tidy_at <= Instant::now() {
                tidy_at = Instant::now() + TIDY;
                self.tidy().await;
            }
            let Ok(now) = self.store.read_clock().await else { continue };
            for (index, schedule) in schedules.iter().enumerate() {
                let since = match heard_until.get(&index) {
                    Some(since) => *since,
                    None => match self.store.last_tick(ready.platform.id, &schedule.name).await {
                        // A restart catches up with the newest tick that nobody heard; a first start does not look back.
                        Ok(last) => last.map_or(now, |last| (last + SECOND).max(now - CATCH_UP)),
                        Err(_) => continue,
                    },
                };
                heard_until.insert(index, since);
                let Some(fire_at) = schedule::newest_tick(&schedule.cadence, since, now) else { continue };
                match self.tick(ready, schedule, fire_at, &mut syncing).await {
                    Ok(tick) => {
                        heard_until.insert(index, fire_at + SECOND);
                        let said = format!("{tick:?}").to_lowercase();
                        tracing::info!(schedule = schedule.name, fire_at = %fire_at.to_rfc3339(), tick = said, "tick");
                        patrol.look();
                    }
                    // Not heard: the next ring tries the same tick again.
                    Err(error) => tracing::warn!(schedule = schedule.name, %error, "the tick waits for Postgres"),
                }
            }
        }
        if let Some(syncing) = syncing {
            syncing.await.ok();
        }
    }

    async fn tick(
        &self,
        ready: &Ready,
        schedule: &Schedule,
        fire_at: DateTime<Utc>,
        syncing: &mut Option<tokio::task::JoinHandle<()>>,
    ) -> Result<Tick, StoreError> {
        let platform = ready.platform.id;
        if let Ok(check) = schedule.name.parse::<CheckName>() {
            return self.store.tick(platform, &schedule.name, fire_at, &[check], DEADLINE).await;
        }
        // A sync has no checks and so no coverage: its run row only makes the tick happen once over all processes.
        let tick = self.store.tick(platform, &schedule.name, fire_at, &[], DEADLINE).await?;
        if tick == Tick::Opened && syncing.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
            let sync = self.syncer(ready);
            *syncing = Some(tokio::spawn(async move {
                match sync.run().await {
                    Ok(synced) => tracing::info!(
                        listed = synced.listed,
                        informed = synced.informed,
                        failed = synced.failed,
                        withdrawn = synced.withdrawn,
                        complete = synced.complete,
                        "synced"
                    ),
                    Err(error) => tracing::error!(%error, "the sync ended early; the next one goes on"),
                }
            }));
        }
        Ok(tick)
    }
}
