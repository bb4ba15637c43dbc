//! Another key for what is sealed: value by value, while processes work. The one list of sealed columns is here.

use sqlx::FromRow;

use super::{
    Store, StoreError,
    seal::{KeyId, Place},
};
use crate::domain::PlatformId;

/// Values that are read and sealed anew together.
const BATCH: i64 = 500;
/// How often a batch that collided with another transaction is repeated at once.
const TRIES_MAX: usize = 5;

/// A column that holds sealed values. Its table's key is the platform, or the platform and an appid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedColumn {
    /// As `table.column`; the column's name ends in `_sealed`.
    pub name: &'static str,
    /// What the value is bound to: the column's name without that ending.
    place: &'static str,
}

/// Every column that holds sealed values, the canary apart. A new one has its line here and its arm in
/// `sealed_batch.sql`, `sealed_swap.sql` and `sealed_counts.sql`; tests compare them with the schema.
pub const SEALED: [SealedColumn; 7] = [
    SealedColumn { name: "platform.ticket_sealed", place: "ticket" },
    SealedColumn { name: "credential.access_sealed", place: "access" },
    SealedColumn { name: "credential.refresh_sealed", place: "refresh" },
    SealedColumn { name: "platform.secret_sealed", place: "secret" },
    SealedColumn { name: "platform.event_token_sealed", place: "event_token" },
    SealedColumn { name: "platform.event_key_sealed", place: "event_key" },
    SealedColumn { name: "authorization_event.code_sealed", place: "authorization_code" },
];

/// How many values of a column are sealed with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCount {
    /// As `table.column`.
    pub column: String,
    /// The key; `None`: the values are too short to be sealed ones.
    pub key: Option<KeyId>,
    /// The values.
    pub count: i64,
}

/// What one pass over a column came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Values that were sealed anew.
    pub resealed: u64,
    /// Values that another process wrote meanwhile; they stayed as they were written.
    pub overtaken: u64,
    /// Values that no key of this process opens; they stayed as they were.
    pub unreadable: u64,
}

#[derive(Debug, Clone, FromRow)]
pub(super) struct SealedRow {
    platform_id: PlatformId,
    appid: String,
    sealed: Vec<u8>,
}

impl Store {
    /// Seals the values of a column anew that are not sealed with the key in use, in batches of a transaction each, until
    /// `stop` says so. May be interrupted at any instant and repeated: what is done is passed over.
    ///
    /// # Errors
    /// Postgres did not answer; what was done stays done.
    pub async fn reseal(&self, column: SealedColumn, stop: impl Fn() -> bool) -> Result<Pass, StoreError> {
        let mut pass = Pass::default();
        let mut after = (0, String::new());
        while !stop() {
            let batch = self.sealed_batch(column, &after).await?;
            let Some(last) = batch.last() else { break };
            after = (last.platform_id, last.appid.clone());
            let mut tries = 0;
            let (swapped, unreadable) = loop {
                match self.swap_sealed(column, &batch).await {
                    Err(StoreError::Collision(_)) if tries < TRIES_MAX => tries += 1,
                    swapped => break swapped?,
                }
            };
            pass.resealed += swapped;
            pass.unreadable += unreadable;
            pass.overtaken += (batch.len() as u64).saturating_sub(swapped + unreadable);
        }
        Ok(pass)
    }

    pub(super) async fn sealed_batch(
        &self,
        column: SealedColumn,
        after: &(PlatformId, String),
    ) -> Result<Vec<SealedRow>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/sealed_batch.sql"))
            .bind(column.name)
            .bind(self.sealer()?.sealing().bytes())
            .bind(after.0)
            .bind(&after.1)
            .bind(BATCH)
            .fetch_all(&self.pool)
            .await?)
    }

    /// Answers how many values were sealed anew, and how many do not open.
    pub(super) async fn swap_sealed(
        &self,
        column: SealedColumn,
        batch: &[SealedRow],
    ) -> Result<(u64, u64), StoreError> {
        let sealer = self.sealer()?;
        let (mut rows, mut anew) = (Vec::new(), Vec::new());
        for row in batch {
            let place = Place { platform: row.platform_id, appid: &row.appid, column: column.place };
            match sealer.open(place, &row.sealed) {
                Ok(text) => {
                    anew.push(sealer.seal(place, &text));
                    rows.push(row);
                }
                Err(error) => tracing::warn!(column = column.name, %error, "a value stays as it is"),
            }
        }
        let swapped: i64 = sqlx::query_scalar(include_str!("sql/sealed_swap.sql"))
            .bind(column.name)
            .bind(rows.iter().map(|row| row.platform_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.appid.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.sealed.as_slice()).collect::<Vec<_>>())
            .bind(&anew)
            .fetch_one(&self.pool)
            .await?;
        Ok((u64::try_from(swapped).unwrap_or(0), (batch.len() - rows.len()) as u64))
    }

    /// How many values of each column are sealed with which key, the canary included. Reads every row.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn sealed_counts(&self) -> Result<Vec<SealedCount>, StoreError> {
        let rows: Vec<(String, Vec<u8>, i64)> =
            sqlx::query_as(include_str!("sql/sealed_counts.sql")).fetch_all(&self.pool).await?;
        let counts =
            rows.into_iter().map(|(column, id, count)| SealedCount { column, key: KeyId::of_sealed(&id), count });
        Ok(counts.collect())
    }
}
