//! Hears the schedules of one platform: each tick is decided on once over all processes, by whoever is first to move the
//! schedule's mark in Postgres. What is kept here may be lost at any moment; the mark is the truth.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};

use super::{Schedule, due};
use crate::{
    domain::{CheckName, PlatformId},
    store::{
        Store, StoreError,
        ticks::{Became, Begun, Decision, Mark},
    },
};

/// A tick's run is closed as interrupted after this.
pub const DEADLINE: Duration = Duration::from_secs(20 * 3600);

/// What a ring brought.
#[derive(Debug, Default)]
pub struct Heard {
    /// Runs that this process began: by a tick, or because they had waited and their turn has come.
    pub begun: Vec<Begun>,
    /// Whether any process began one: it is worth a look.
    pub news: bool,
}

/// Up to where a schedule is heard.
#[derive(Debug, Clone)]
struct Place {
    mark: Mark,
    /// The next tick after the mark; `None`: none in sight.
    next: Option<DateTime<Utc>>,
    listening_since: DateTime<Utc>,
}

/// Listens for one platform.
pub struct Listener {
    store: Store,
    platform: PlatformId,
    appid: String,
    places: HashMap<String, Place>,
}

impl Listener {
    /// Nothing is heard yet. `appid` is the platform's, for the log.
    #[must_use]
    pub fn new(store: Store, platform: PlatformId, appid: String) -> Self {
        Self { store, platform, appid, places: HashMap::new() }
    }

    /// Hears one ring at `now`, Postgres's clock, for these schedules; one that is left out is forgotten until it is named
    /// again. May be repeated: what could not be written down is heard again at the next ring.
    pub async fn hear(&mut self, schedules: &[&Schedule], now: DateTime<Utc>) -> Heard {
        self.places.retain(|name, _| schedules.iter().any(|schedule| schedule.name == *name));
        let mut heard = Heard::default();
        for schedule in schedules {
            if let Err(error) = self.hear_one(schedule, now, &mut heard).await {
                tracing::warn!(platform = self.appid, schedule = schedule.name, %error, "the tick waits for Postgres");
            }
        }
        let on: Vec<&str> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        match self.store.begin_waiting(self.platform, &on).await {
            Ok(begun) => {
                for begun in &begun {
                    let (platform, schedule) = (&self.appid, &begun.schedule);
                    tracing::info!(platform, schedule, run.id = %begun.run_id, "a tick that waited begins");
                }
                heard.news |= !begun.is_empty();
                heard.begun.extend(begun);
            }
            Err(error) => tracing::warn!(platform = self.appid, %error, "ticks that wait could not be looked up"),
        }
        heard
    }

    async fn hear_one(&mut self, schedule: &Schedule, now: DateTime<Utc>, heard: &mut Heard) -> Result<(), StoreError> {
        let place = match self.places.get_mut(&schedule.name) {
            Some(place) => place,
            None => {
                let mark = self.store.mark(self.platform, &schedule.name, &schedule.cadence_text()).await?;
                let next = schedule.cadence.next_after(mark.heard_until);
                self.places.entry(schedule.name.clone()).or_insert(Place { mark, next, listening_since: now })
            }
        };
        if place.next.is_none_or(|next| next > now) {
            return Ok(());
        }
        let Some(due) = due::due(schedule, place.mark.heard_until, now, place.listening_since) else { return Ok(()) };
        let checks: Vec<CheckName> = schedule.name.parse().into_iter().collect();
        let decision = self
            .store
            .decide(self.platform, &schedule.name, place.mark, &due.rows, &checks, due.waiting_max, DEADLINE)
            .await?;
        heard.news = true;
        match decision {
            // Another process was first. Should it have heard less than this one, the next ring hears the rest.
            Decision::Taken(mark) => {
                place.mark = mark;
                tracing::debug!(
                    platform = self.appid,
                    schedule = schedule.name,
                    "the tick was heard by another process"
                );
            }
            Decision::Made { mark, became } => {
                place.mark = mark;
                for (row, became) in due.rows.iter().zip(became) {
                    let (tick, run) = match became {
                        Became::Begun(run_id) => {
                            heard.begun.push(Begun { run_id, schedule: schedule.name.clone() });
                            ("begun", Some(run_id))
                        }
                        Became::Waiting(run_id) => ("waiting", Some(run_id)),
                        Became::Skipped => ("skipped", None),
                        Became::Missed => ("missed", None),
                        Became::Known => ("known", None),
                    };
                    tracing::info!(
                        platform = self.appid,
                        schedule = schedule.name,
                        fire_at = %row.fire_at.to_rfc3339(),
                        tick,
                        run.id = run.map(tracing::field::display),
                        missed_ticks = row.missed_ticks,
                        "tick"
                    );
                }
            }
        }
        place.next = schedule.cadence.next_after(place.mark.heard_until);
        Ok(())
    }
}
