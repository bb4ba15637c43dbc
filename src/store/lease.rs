//! Leases: what a claim holds on to until it is recorded. They end by themselves; a beat moves the ends of those on that
//! still wait for their call.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Store, StoreError};
use crate::domain::{ItemKey, PlatformId};

/// The lease of one claim.
#[derive(Debug)]
pub struct Lease {
    key: Arc<ItemKey>,
    fence: i64,
    until: Mutex<Instant>,
    /// From call to call of one merchant.
    apart: Duration,
    calling: AtomicBool,
}

impl Lease {
    pub(super) fn new(key: Arc<ItemKey>, fence: i64, until: Instant, apart: Duration) -> Arc<Self> {
        Arc::new(Self { key, fence, until: Mutex::new(until), apart, calling: AtomicBool::new(false) })
    }

    /// The lease ends then, on this process's clock; never later than in Postgres.
    ///
    /// # Panics
    /// Never: nobody panics while holding the instant.
    #[must_use]
    pub fn until(&self) -> Instant {
        *self.until.lock().expect("nobody panics while holding the instant")
    }

    /// Says that the call begins: the lease outlasts it, and is not prolonged any more.
    pub fn call_begins(&self) {
        self.calling.store(true, Ordering::Relaxed);
    }

    /// Whether the claim still waits for its call.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.calling.load(Ordering::Relaxed)
    }
}

impl Store {
    /// Moves the ends of these leases on to `lease` from now; those that are over already stay over. Answers how many go
    /// on. One whose item is locked at the moment (it is being recorded, or planned, or put on hold) is left out: it is no less this
    /// process's, ends when it would have, and can be prolonged the next time. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: the leases end when they would have.
    ///
    /// # Panics
    /// Never: nobody panics while holding the instants.
    pub async fn prolong(
        &self,
        platform: PlatformId,
        mut leases: Vec<Arc<Lease>>,
        lease: Duration,
    ) -> Result<usize, StoreError> {
        leases.sort_by(|left, right| left.key.cmp(&right.key));
        let asked = Instant::now();
        let mut transaction = self.begin_by_key().await?;
        let ordinals: Vec<i64> = sqlx::query_scalar(include_str!("sql/leases_prolong.sql"))
            .bind(platform)
            .bind(self.process_id)
            .bind(lease.as_secs_f64())
            .bind(leases.iter().map(|lease| lease.key.appid.as_str()).collect::<Vec<_>>())
            .bind(leases.iter().map(|lease| lease.key.check.name()).collect::<Vec<_>>())
            .bind(leases.iter().map(|lease| lease.key.counterpart.as_str()).collect::<Vec<_>>())
            .bind(leases.iter().map(|lease| lease.fence).collect::<Vec<_>>())
            .bind(leases.iter().map(|lease| lease.key.check.gate().map(|gate| gate.name())).collect::<Vec<_>>())
            .bind(leases.iter().map(|lease| lease.apart.as_secs_f64()).collect::<Vec<_>>())
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        for ordinal in &ordinals {
            if let Some(held) = usize::try_from(ordinal - 1).ok().and_then(|index| leases.get(index)) {
                let mut until = held.until.lock().expect("nobody panics while holding the instant");
                *until = (*until).max(asked + lease);
            }
        }
        Ok(ordinals.len())
    }

    /// Gives back everything that this process leases of a platform, as it was, and answers how many items that were. May
    /// be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: the leases end by themselves.
    pub async fn return_leases(&self, platform: PlatformId) -> Result<u64, StoreError> {
        let returned = sqlx::query(include_str!("sql/leases_return.sql"))
            .bind(self.process_id)
            .bind(platform)
            .execute(&self.pool)
            .await?;
        Ok(returned.rows_affected())
    }
}
