//! Limits that all processes share: a GCRA row for each platform and endpoint, of which processes take slices.
//!
//! The pace is set to 98.5 % of the limit: that margin, and the default burst of a fortieth, pay for the network's
//! bunching, so that what arrives at WeChat stays within limit + burst in any window.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError};
use crate::domain::{
    Endpoint, Limit, PlatformId, platform_time,
    ports::{PortError, Slice, SliceSource},
};

/// The share of a limit that is handed out.
const SHARE: f64 = 0.985;
/// Slots are handed out at most this far ahead.
const LEAD: Duration = Duration::from_secs(1);

/// The limits of this process's configuration, served from the database that all processes share.
#[derive(Clone)]
pub struct SharedLimits {
    store: Store,
    limits: Arc<HashMap<Endpoint, Limit>>,
    known: Arc<Mutex<HashSet<(PlatformId, Endpoint)>>>,
}

#[derive(FromRow)]
struct SliceRow {
    shut: bool,
    shut_secs: f64,
    interval_secs: f64,
    wait_secs: Option<f64>,
    lead_secs: Option<f64>,
}

fn secs(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

impl SharedLimits {
    /// Limits by endpoint; an endpoint without one is not limited.
    #[must_use]
    pub fn new(store: Store, limits: HashMap<Endpoint, Limit>) -> Self {
        Self { store, limits: Arc::new(limits), known: Arc::default() }
    }

    async fn take(&self, platform: PlatformId, endpoint: Endpoint, wanted: u32) -> Result<Slice, StoreError> {
        let Some(limit) = self.limits.get(&endpoint) else {
            return Ok(Slice::Granted { count: wanted, wait: Duration::ZERO, interval: Duration::ZERO });
        };
        match limit.interval() {
            Some(interval) => self.take_by_rate(platform, endpoint, wanted, limit, interval).await,
            None => self.take_by_day(platform, endpoint, wanted, limit).await,
        }
    }

    async fn take_by_rate(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        wanted: u32,
        limit: &Limit,
        interval: Duration,
    ) -> Result<Slice, StoreError> {
        let interval_secs = interval.as_secs_f64() / SHARE;
        let reserve =
            Limit::new(std::num::NonZeroU32::new(limit.count()).unwrap_or(std::num::NonZeroU32::MIN), limit.per());
        let kept = f64::from(limit.burst().saturating_sub(reserve.burst())) * interval_secs;
        // An unlogged row is gone after a crash of Postgres, so its absence is noticed and mended at any time.
        for _ in 0..2 {
            if !self.known.lock().expect("nobody panics while holding the set").contains(&(platform, endpoint)) {
                sqlx::query(include_str!("sql/slice_row.sql"))
                    .bind(platform)
                    .bind(endpoint.name())
                    .execute(&self.store.pool)
                    .await?;
                self.known.lock().expect("nobody panics while holding the set").insert((platform, endpoint));
            }
            let row: SliceRow = sqlx::query_as(include_str!("sql/slice_take.sql"))
                .bind(platform)
                .bind(endpoint.name())
                .bind(f64::from(wanted))
                .bind(interval_secs)
                .bind(kept)
                .bind(LEAD.as_secs_f64().max(interval_secs))
                .fetch_one(&self.store.pool)
                .await?;
            if row.shut {
                return Ok(Slice::Closed { wait: secs(row.shut_secs) });
            }
            if let Some(wait) = row.wait_secs {
                let (wait, interval) = (secs(wait), secs(row.interval_secs));
                return Ok(Slice::Granted { count: wanted, wait, interval });
            }
            if let Some(lead) = row.lead_secs {
                let wait = secs(lead - LEAD.as_secs_f64().max(interval_secs)).max(Duration::from_millis(5));
                return Ok(Slice::Later { wait });
            }
            self.known.lock().expect("nobody panics while holding the set").remove(&(platform, endpoint));
        }
        Ok(Slice::Later { wait: Duration::from_secs(1) })
    }

    async fn take_by_day(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        wanted: u32,
        limit: &Limit,
    ) -> Result<Slice, StoreError> {
        let now = self.store.read_clock().await?;
        for count in [wanted, 1] {
            let used: Option<i64> = sqlx::query_scalar(include_str!("sql/slice_day.sql"))
                .bind(platform)
                .bind(endpoint.name())
                .bind(platform_time::day(now))
                .bind(i64::from(count))
                .bind(i64::from(limit.count()))
                .fetch_optional(&self.store.pool)
                .await?;
            if used.is_some() {
                return Ok(Slice::Granted { count, wait: Duration::ZERO, interval: Duration::ZERO });
            }
        }
        let midnight = platform_time::next_midnight(now);
        self.store.close_endpoint(platform, endpoint, midnight, None, "the limit a day is used up").await?;
        Ok(Slice::Closed { wait: (midnight - now).to_std().unwrap_or_default() })
    }
}

#[async_trait]
impl SliceSource for SharedLimits {
    async fn take_slice(&self, platform: PlatformId, endpoint: Endpoint, wanted: u32) -> Result<Slice, PortError> {
        Ok(self.take(platform, endpoint, wanted.max(1)).await?)
    }
}

impl Store {
    /// Closes an endpoint for every process until `until`, and slows it for ten minutes after. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn close_endpoint(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        until: DateTime<Utc>,
        errcode: Option<i64>,
        reason: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/closure_close.sql"))
            .bind(platform)
            .bind(endpoint.name())
            .bind(until)
            .bind(errcode)
            .bind(reason)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
