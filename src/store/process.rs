//! Processes: each says that it lives, what it is, and how far its clock is from Postgres's.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

impl Store {
    /// Says that this process lives, and answers by how many milliseconds this machine's clock is ahead of Postgres's
    /// (negative: behind). `claimed_at` is when it last claimed. To be repeated every few seconds: after 30 s without a
    /// beat others count it as dead. A beat also learns which key is in use, and this process seals with it from then on.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn beat(&self, claimed_at: Option<DateTime<Utc>>) -> Result<i64, StoreError> {
        let (skew, canary) = self.say_alive(claimed_at).await?;
        if self.mind_the_key(canary.as_deref()) {
            // Whoever changed the key waits for this process to say so.
            self.say_alive(claimed_at).await?;
        }
        Ok(skew)
    }

    /// Says for the first time that this process lives, and which keys it has. Whether they open anything is not looked at:
    /// [`Self::check_sealing_key`] tells. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn announce(&self) -> Result<(), StoreError> {
        self.say_alive(None).await.map(drop)
    }

    async fn say_alive(&self, claimed_at: Option<DateTime<Utc>>) -> Result<(i64, Option<Vec<u8>>), StoreError> {
        let keys = self.sealer.as_ref().map(|sealer| {
            let known: Vec<String> = sealer.known().iter().map(ToString::to_string).collect();
            (known, sealer.sealing().to_string())
        });
        let (known, sealing) = keys.unzip();
        // The clock is read with the connection in hand, so that waiting for one does not look like a wrong clock.
        let mut connection = self.pool.acquire().await?;
        let alive = sqlx::query_as(include_str!("sql/process_beat.sql"))
            .bind(self.process_id)
            .bind(env!("CARGO_PKG_VERSION"))
            .bind(self.purpose)
            .bind(Utc::now())
            .bind(claimed_at)
            .bind(known)
            .bind(sealing)
            .fetch_one(&mut connection)
            .await?;
        Ok(alive)
    }

    /// Takes this process off the list, at an orderly end. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer: the row is pruned a day later.
    pub async fn leave(&self) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/process_leave.sql")).bind(self.process_id).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets processes that died more than a day ago, and answers how many. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        Ok(sqlx::query(include_str!("sql/process_prune.sql")).execute(&self.pool).await?.rows_affected())
    }
}
