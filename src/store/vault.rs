//! Where tokens are kept: sealed, with one refresher over all processes by a committed lease on the credential row.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sqlx::FromRow;

use super::{Store, StoreError, seal::Place};
use crate::domain::{
    PlatformId,
    ports::{
        Cause, Ended, Holder, NewToken, PortError, RefreshClaim, RefreshLease, Refreshed, StoredToken, TokenVault,
    },
};

/// Refusals have the platform's own token bought at most once in this time, over all processes: one of them may be
/// right, the others are answered by what it brought.
const REFUSALS_APART: Duration = Duration::from_secs(30);
const NONE_STORED: &str = "no refresh token is stored: run `wxpatrol sync` or import it";

impl From<StoreError> for PortError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

fn appid(holder: &Holder) -> &str {
    match holder {
        Holder::Component => "",
        Holder::Merchant(appid) => appid,
    }
}

#[derive(FromRow)]
struct LeaseRow {
    fence: i64,
    refresh_sealed: Option<Vec<u8>>,
    refresh_version: i64,
    component_refused: Option<i64>,
}

#[derive(FromRow)]
struct StateRow {
    access_sealed: Option<Vec<u8>>,
    good_for_secs: Option<f64>,
    version: i64,
    leased: bool,
    cooling_secs: Option<f64>,
    failure_reason: Option<String>,
    failure_errcode: Option<i64>,
    lost_reason: Option<String>,
    loss_proven: bool,
    too_soon_secs: Option<f64>,
    withdrawn: bool,
}

fn secs(value: Option<f64>) -> Duration {
    Duration::try_from_secs_f64(value.unwrap_or(0.0)).unwrap_or_default()
}

impl Store {
    fn access_token(
        &self,
        platform: PlatformId,
        appid: &str,
        sealed: &[u8],
        good_for: Duration,
        version: i64,
    ) -> Result<StoredToken, StoreError> {
        let access_token = self.sealer()?.open(Place { platform, appid, column: "access" }, sealed)?;
        Ok(StoredToken { access_token, good_for, version })
    }

    async fn stored_token(&self, platform: PlatformId, holder: &Holder) -> Result<Option<StoredToken>, StoreError> {
        let row: Option<(Vec<u8>, f64, i64)> = sqlx::query_as(include_str!("sql/token.sql"))
            .bind(platform)
            .bind(appid(holder))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|(sealed, good_for, version)| {
            self.access_token(platform, appid(holder), &sealed, secs(Some(good_for)), version)
        })
        .transpose()
    }

    async fn lease_refresh(
        &self,
        platform: PlatformId,
        holder: &Holder,
        seen: Option<i64>,
        cause: Cause,
        lease: Duration,
    ) -> Result<Option<RefreshLease>, StoreError> {
        let sealer = self.sealer()?;
        let appid = appid(holder);
        let granted: Option<LeaseRow> = sqlx::query_as(include_str!("sql/token_lease.sql"))
            .bind(platform)
            .bind(appid)
            .bind(lease.as_secs_f64())
            .bind(seen)
            .bind(cause == Cause::Refused)
            .bind(REFUSALS_APART.as_secs_f64())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = granted else { return Ok(None) };
        let place = Place { platform, appid, column: "refresh" };
        let lease = RefreshLease {
            fence: row.fence,
            refresh_token: None,
            refresh_version: row.refresh_version,
            component_refused: row.component_refused,
            taken_at: self.now_at_least(),
        };
        match row.refresh_sealed.map(|sealed| sealer.open(place, &sealed)).transpose() {
            Ok(refresh_token) => Ok(Some(RefreshLease { refresh_token, ..lease })),
            Err(error) => {
                self.end_lease(platform, holder, &lease, Refreshed::Back).await?;
                Err(error)
            }
        }
    }

    /// Why nobody may refresh; `None`: what stood against it is over.
    async fn refresh_barred(
        &self,
        platform: PlatformId,
        holder: &Holder,
        seen: Option<i64>,
        cause: Cause,
    ) -> Result<Option<RefreshClaim>, StoreError> {
        let appid = appid(holder);
        let row: Option<StateRow> = sqlx::query_as(include_str!("sql/token_state.sql"))
            .bind(platform)
            .bind(appid)
            .bind(REFUSALS_APART.as_secs_f64())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return self.without_row(platform, holder).await };
        if row.withdrawn {
            return Ok(Some(RefreshClaim::Withdrawn));
        }
        let good_for = secs(row.good_for_secs);
        if let Some(sealed) = &row.access_sealed
            && Some(row.version) != seen
            && good_for > Duration::ZERO
        {
            let token = self.access_token(platform, appid, sealed, good_for, row.version)?;
            return Ok(Some(RefreshClaim::Newer(token)));
        }
        if let Some(reason) = row.lost_reason {
            return Ok(Some(match row.loss_proven {
                true => RefreshClaim::Lost(reason),
                false => RefreshClaim::Recovering(reason),
            }));
        }
        if row.leased {
            return Ok(Some(RefreshClaim::Elsewhere));
        }
        let wait = secs(row.cooling_secs);
        if wait > Duration::ZERO {
            let reason = row.failure_reason.unwrap_or_default();
            return Ok(Some(RefreshClaim::CoolingDown { reason, errcode: row.failure_errcode, wait }));
        }
        let wait = secs(row.too_soon_secs);
        if *holder == Holder::Component && cause == Cause::Refused && wait > Duration::ZERO {
            return Ok(Some(RefreshClaim::TooSoon { wait }));
        }
        Ok(None)
    }

    /// The platform's own token gets its row, a merchant without one is lost.
    async fn without_row(&self, platform: PlatformId, holder: &Holder) -> Result<Option<RefreshClaim>, StoreError> {
        let Holder::Merchant(appid) = holder else {
            sqlx::query(include_str!("sql/token_component_row.sql")).bind(platform).execute(&self.pool).await?;
            return Ok(None);
        };
        let withdrawn: Option<bool> = sqlx::query_scalar(include_str!("sql/token_none.sql"))
            .bind(platform)
            .bind(appid)
            .bind(NONE_STORED)
            .fetch_optional(&self.pool)
            .await?;
        Ok(Some(match withdrawn {
            Some(true) => RefreshClaim::Withdrawn,
            Some(false) | None => RefreshClaim::Recovering(NONE_STORED.to_owned()),
        }))
    }

    async fn end_lease(
        &self,
        platform: PlatformId,
        holder: &Holder,
        lease: &RefreshLease,
        how: Refreshed,
    ) -> Result<Ended, StoreError> {
        let appid = appid(holder);
        let fenced =
            |statement: &'static str| sqlx::query_scalar(statement).bind(platform).bind(appid).bind(lease.fence);
        // What the statement answers when the fence fits; for a lost token whether it is still the stored one.
        let booked: Option<bool> = match how {
            Refreshed::Token(token) => return self.store_token(platform, appid, lease, token).await,
            Refreshed::Failed { reason, errcode, cool_min } => {
                fenced(include_str!("sql/token_failed.sql"))
                    .bind(reason)
                    .bind(errcode)
                    .bind(cool_min.as_secs_f64())
                    .fetch_optional(&self.pool)
                    .await?
            }
            Refreshed::Back => fenced(include_str!("sql/token_back.sql")).fetch_optional(&self.pool).await?,
            Refreshed::Lost { reason } => {
                fenced(include_str!("sql/token_lost.sql"))
                    .bind(reason)
                    .bind(lease.refresh_version)
                    .fetch_optional(&self.pool)
                    .await?
            }
            Refreshed::Withdrawn => {
                self.withdraw(platform, &[(appid.to_owned(), lease.taken_at)]).await?;
                // Who authorized again meanwhile is not gone, and may be refreshed at once.
                fenced(include_str!("sql/token_back.sql")).fetch_optional(&self.pool).await?;
                Some(true)
            }
        };
        Ok(match booked {
            Some(true) => Ended::Booked,
            Some(false) => Ended::Replaced,
            None => Ended::TakenOver,
        })
    }

    async fn store_token(
        &self,
        platform: PlatformId,
        appid: &str,
        lease: &RefreshLease,
        token: NewToken,
    ) -> Result<Ended, StoreError> {
        let NewToken { access_token, expires_in, refresh_token, cause } = token;
        let sealer = self.sealer()?;
        let place = |column| Place { platform, appid, column };
        let used = lease.refresh_token.as_ref().map(ExposeSecret::expose_secret);
        let changed = refresh_token
            .filter(|token| !token.expose_secret().is_empty() && Some(token.expose_secret()) != used)
            .map(|token| sealer.seal(place("refresh"), &token));
        let version: Option<i64> = sqlx::query_scalar(include_str!("sql/token_store.sql"))
            .bind(platform)
            .bind(appid)
            .bind(lease.fence)
            .bind(sealer.seal(place("access"), &access_token))
            .bind(expires_in.as_secs_f64())
            .bind(changed)
            .bind(lease.refresh_version)
            .bind(cause == Cause::Refused)
            .fetch_optional(&self.pool)
            .await?;
        Ok(version.map_or(Ended::TakenOver, |version| {
            Ended::Stored(StoredToken { access_token, good_for: expires_in, version })
        }))
    }

    async fn newest_ticket(&self, platform: PlatformId) -> Result<Option<(SecretString, Duration)>, StoreError> {
        let row: Option<(Vec<u8>, f64)> =
            sqlx::query_as(include_str!("sql/ticket.sql")).bind(platform).fetch_optional(&self.pool).await?;
        row.map(|(sealed, age)| {
            Ok((self.sealer()?.open(Place { platform, appid: "", column: "ticket" }, &sealed)?, secs(Some(age))))
        })
        .transpose()
    }

    /// Keeps a verify ticket. A bootstrap ticket (from the environment) is ignored once a newer one is stored; `false`
    /// says so. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer, or there is no key to seal with.
    pub async fn keep_ticket(
        &self,
        platform: PlatformId,
        ticket: &SecretString,
        bootstrap: bool,
    ) -> Result<bool, StoreError> {
        let sealed = self.sealer()?.seal(Place { platform, appid: "", column: "ticket" }, ticket);
        let kept = sqlx::query(include_str!("sql/ticket_store.sql"))
            .bind(platform)
            .bind(sealed)
            .bind(bootstrap)
            .execute(&self.pool)
            .await?;
        Ok(kept.rows_affected() == 1)
    }
}

#[async_trait]
impl TokenVault for Store {
    async fn token(&self, platform: PlatformId, holder: &Holder) -> Result<Option<StoredToken>, PortError> {
        Ok(self.stored_token(platform, holder).await?)
    }

    async fn claim_refresh(
        &self,
        platform: PlatformId,
        holder: &Holder,
        seen: Option<i64>,
        cause: Cause,
        lease: Duration,
    ) -> Result<RefreshClaim, PortError> {
        // What stands against it may be over before it is looked at: then once more.
        for _ in 0..2 {
            if let Some(lease) = self.lease_refresh(platform, holder, seen, cause, lease).await? {
                return Ok(RefreshClaim::Granted(lease));
            }
            if let Some(barred) = self.refresh_barred(platform, holder, seen, cause).await? {
                return Ok(barred);
            }
        }
        Ok(RefreshClaim::Elsewhere)
    }

    async fn end_refresh(
        &self,
        platform: PlatformId,
        holder: &Holder,
        lease: &RefreshLease,
        how: Refreshed,
    ) -> Result<Ended, PortError> {
        Ok(self.end_lease(platform, holder, lease, how).await?)
    }

    async fn drop_refused(&self, platform: PlatformId, appid: &str, version: i64) -> Result<(), PortError> {
        let dropping = sqlx::query(include_str!("sql/token_refused.sql")).bind(platform).bind(appid).bind(version);
        dropping.execute(&self.pool).await.map_err(StoreError::from)?;
        Ok(())
    }

    async fn note_dead(&self, platform: PlatformId, version: i64) -> Result<(), PortError> {
        let noting = sqlx::query(include_str!("sql/token_dead.sql")).bind(platform).bind(version);
        noting.execute(&self.pool).await.map_err(StoreError::from)?;
        Ok(())
    }

    async fn dead(&self, platform: PlatformId) -> Result<Option<i64>, PortError> {
        let asking = sqlx::query_scalar(include_str!("sql/token_dead_version.sql")).bind(platform);
        Ok(asking.fetch_optional(&self.pool).await.map_err(StoreError::from)?)
    }

    async fn book_contested(&self, platform: PlatformId, appid: &str, version: i64) -> Result<(), PortError> {
        let booking = sqlx::query(include_str!("sql/token_contested.sql")).bind(platform).bind(appid).bind(version);
        booking.execute(&self.pool).await.map_err(StoreError::from)?;
        Ok(())
    }

    async fn book_odd(&self, platform: PlatformId, appid: &str) -> Result<u64, PortError> {
        let booking = sqlx::query_scalar(include_str!("sql/token_odd_book.sql")).bind(platform).bind(appid);
        let merchants: i64 = booking.fetch_one(&self.pool).await.map_err(StoreError::from)?;
        Ok(merchants.unsigned_abs())
    }

    async fn odd(&self, platform: PlatformId, appid: &str) -> Result<bool, PortError> {
        let asking = sqlx::query_scalar(include_str!("sql/token_odd.sql")).bind(platform).bind(appid);
        Ok(asking.fetch_one(&self.pool).await.map_err(StoreError::from)?)
    }

    async fn ticket(&self, platform: PlatformId) -> Result<Option<(SecretString, Duration)>, PortError> {
        Ok(self.newest_ticket(platform).await?)
    }
}
