//! Limits that all processes share: a GCRA row for each platform and endpoint, of which processes take slices, and the count
//! of the day beside it.
//!
//! The pace is set to 98.5 % of the limit: that margin, and the default burst of a fortieth, pay for the network's
//! bunching, so that what arrives at WeChat stays within limit + burst in any window. Taking a slice is one statement.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::FromRow;

use super::{Store, StoreError};
use crate::domain::{
    Endpoint, Limit, PlatformId,
    ports::{PortError, Slice, SliceSource, Unused},
};

/// The share of a rate that is handed out.
pub const SHARE: f64 = 0.985;
/// Slots are handed out at most this far ahead.
const LEAD: Duration = Duration::from_secs(1);
/// One slice lasts no longer than this, unless a single slot does: what a process takes with it when it dies is little.
const SLICE: Duration = Duration::from_millis(250);
/// Calls in shadow are counted this long after the first of them at the latest.
const SHADOW_WINDOW: Duration = Duration::from_millis(300);
/// Slots of a limit that is a count a day alone are used or lost within this, and before the day ends.
const DAY_SLOTS_GOOD: Duration = Duration::from_secs(60);

/// Why an endpoint is closed until midnight by a limit of our own.
pub(super) const USED_UP: &str = "the limit a day is used up";

/// The limits of this process's configuration, served from the database that all processes share.
#[derive(Clone)]
pub struct SharedLimits {
    store: Store,
    limits: Arc<HashMap<Endpoint, Limit>>,
}

#[derive(FromRow)]
struct SliceRow {
    shut: bool,
    shut_secs: f64,
    interval_secs: f64,
    slots: Option<i64>,
    wait_secs: Option<f64>,
    day_ends_secs: Option<f64>,
    day_used_up: bool,
    later_secs: Option<f64>,
}

fn secs(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

impl SharedLimits {
    /// Limits by endpoint; an endpoint without one is not limited.
    #[must_use]
    pub fn new(store: Store, limits: HashMap<Endpoint, Limit>) -> Self {
        Self { store, limits: Arc::new(limits) }
    }

    async fn take(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        wanted: u32,
        unused: Unused,
    ) -> Result<Slice, StoreError> {
        let Some(limit) = self.limits.get(&endpoint) else {
            return Ok(Slice::Granted {
                count: wanted,
                wait: Duration::ZERO,
                interval: Duration::ZERO,
                good_for: None,
            });
        };
        let row: SliceRow = sqlx::query_as(include_str!("sql/slice_take.sql"))
            .bind(platform)
            .bind(endpoint.name())
            .bind(i64::from(wanted))
            .bind(limit.interval().unwrap_or_default().as_secs_f64())
            .bind(limit.kept().as_secs_f64() / SHARE)
            .bind(LEAD.as_secs_f64())
            .bind(SHARE)
            .bind(SLICE.as_secs_f64())
            .bind(limit.per_day().map(i64::from))
            .bind(i64::from(unused.slots))
            .bind(unused.age.as_secs_f64())
            .bind(USED_UP)
            .fetch_one(&self.store.pool)
            .await?;
        if wanted == 0 {
            return Ok(Slice::Later { wait: Duration::ZERO });
        }
        if row.shut {
            return Ok(Slice::Closed { wait: secs(row.shut_secs) });
        }
        if row.day_used_up && (unused.more || unused.slots > 0) {
            // What is still in hand may come back: only then is the day over for all.
            return Ok(Slice::Later { wait: SLICE });
        }
        if let (true, Some(day_ends_secs)) = (row.day_used_up, row.day_ends_secs) {
            let midnight = self.store.now() + chrono::TimeDelta::milliseconds((day_ends_secs * 1000.0) as i64);
            self.store.close_endpoint(platform, endpoint, midnight, None, USED_UP, false).await?;
            return Ok(Slice::Closed { wait: secs(day_ends_secs) });
        }
        if let (Some(slots), Some(wait)) = (row.slots, row.wait_secs) {
            let rateless = row.interval_secs <= 0.0;
            let day_left = row.day_ends_secs.map(|ends| secs(ends - 2.0));
            return Ok(Slice::Granted {
                count: u32::try_from(slots).unwrap_or(u32::MAX),
                wait: secs(wait),
                interval: secs(row.interval_secs),
                good_for: rateless.then(|| day_left.map_or(DAY_SLOTS_GOOD, |left| left.min(DAY_SLOTS_GOOD))),
            });
        }
        Ok(Slice::Later { wait: secs(row.later_secs.unwrap_or(0.0)).max(Duration::from_millis(5)) })
    }

    async fn count(&self, platform: PlatformId, endpoint: Endpoint, calls: u32) -> Result<u64, StoreError> {
        let Some(limit) = self.limits.get(&endpoint) else { return Ok(0) };
        let held_back: i64 = sqlx::query_scalar(include_str!("sql/slice_shadow.sql"))
            .bind(platform)
            .bind(endpoint.name())
            .bind(i64::from(calls))
            .bind(limit.interval().unwrap_or_default().as_secs_f64() / SHARE)
            .bind((limit.kept() + SHADOW_WINDOW).as_secs_f64())
            .bind(limit.per_day().map(i64::from))
            .fetch_one(&self.store.pool)
            .await?;
        Ok(u64::try_from(held_back).unwrap_or(0))
    }
}

#[async_trait]
impl SliceSource for SharedLimits {
    async fn take_slice(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        wanted: u32,
        unused: Unused,
    ) -> Result<Slice, PortError> {
        Ok(self.take(platform, endpoint, wanted, unused).await?)
    }

    async fn count_in_shadow(&self, platform: PlatformId, endpoint: Endpoint, calls: u32) -> Result<u64, PortError> {
        Ok(self.count(platform, endpoint, calls).await?)
    }
}
