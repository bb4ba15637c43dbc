//! Where tokens are kept: sealed, with one refresher over all processes by a committed lease on the credential row.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use sqlx::FromRow;

use super::{Store, StoreError, seal::Place};
use crate::domain::{
    PlatformId,
    ports::{Holder, PortError, RefreshClaim, RefreshLease, Refreshed, StoredToken, TokenVault},
};

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
struct CredentialRow {
    access_sealed: Option<Vec<u8>>,
    good_for_secs: Option<f64>,
    version: i64,
    refresh_sealed: Option<Vec<u8>>,
    leased: bool,
    cooling_secs: Option<f64>,
    failure_reason: Option<String>,
    lost_reason: Option<String>,
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
        lease: Duration,
    ) -> Result<RefreshClaim, StoreError> {
        let sealer = self.sealer()?;
        let appid = appid(holder);
        let mut transaction = self.pool.begin().await?;
        if *holder == Holder::Component {
            sqlx::query(include_str!("sql/token_component_row.sql")).bind(platform).execute(&mut *transaction).await?;
        }
        let row: Option<CredentialRow> = sqlx::query_as(include_str!("sql/token_claim.sql"))
            .bind(platform)
            .bind(appid)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else {
            return Ok(RefreshClaim::Lost("no refresh token is stored: run `wxpatrol sync` or import it".to_owned()));
        };
        if row.withdrawn {
            return Ok(RefreshClaim::Withdrawn);
        }
        let good_for = secs(row.good_for_secs);
        if let Some(sealed) = &row.access_sealed
            && Some(row.version) != seen
            && good_for > Duration::ZERO
        {
            return Ok(RefreshClaim::Newer(self.access_token(platform, appid, sealed, good_for, row.version)?));
        }
        if let Some(reason) = row.lost_reason {
            return Ok(RefreshClaim::Lost(reason));
        }
        if row.leased {
            return Ok(RefreshClaim::Elsewhere);
        }
        let wait = secs(row.cooling_secs);
        if wait > Duration::ZERO {
            return Ok(RefreshClaim::CoolingDown { reason: row.failure_reason.unwrap_or_default(), wait });
        }
        let refresh_token = row
            .refresh_sealed
            .map(|sealed| sealer.open(Place { platform, appid, column: "refresh" }, &sealed))
            .transpose()?;
        let fence: i64 = sqlx::query_scalar(include_str!("sql/token_lease.sql"))
            .bind(platform)
            .bind(appid)
            .bind(lease.as_secs_f64())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(RefreshClaim::Granted(RefreshLease { fence, refresh_token }))
    }

    async fn end_lease(
        &self,
        platform: PlatformId,
        holder: &Holder,
        fence: i64,
        how: Refreshed,
    ) -> Result<Option<StoredToken>, StoreError> {
        let sealer = self.sealer()?;
        let appid = appid(holder);
        let place = |column| Place { platform, appid, column };
        match how {
            Refreshed::Token { access_token, expires_in, refresh_token } => {
                let version: Option<i64> = sqlx::query_scalar(include_str!("sql/token_store.sql"))
                    .bind(platform)
                    .bind(appid)
                    .bind(fence)
                    .bind(sealer.seal(place("access"), &access_token))
                    .bind(expires_in.as_secs_f64())
                    .bind(refresh_token.map(|token| sealer.seal(place("refresh"), &token)))
                    .fetch_optional(&self.pool)
                    .await?;
                Ok(version.map(|version| StoredToken { access_token, good_for: expires_in, version }))
            }
            Refreshed::Failed { reason } => {
                self.end_badly(include_str!("sql/token_failed.sql"), platform, appid, fence, &reason).await
            }
            Refreshed::Back => {
                sqlx::query(include_str!("sql/token_back.sql"))
                    .bind(platform)
                    .bind(appid)
                    .bind(fence)
                    .execute(&self.pool)
                    .await?;
                Ok(None)
            }
            Refreshed::Lost { reason } => {
                self.end_badly(include_str!("sql/token_lost.sql"), platform, appid, fence, &reason).await
            }
            Refreshed::Withdrawn => {
                sqlx::query(include_str!("sql/record_withdrawn.sql"))
                    .bind(platform)
                    .bind([appid])
                    .execute(&self.pool)
                    .await?;
                Ok(None)
            }
        }
    }

    async fn end_badly(
        &self,
        statement: &'static str,
        platform: PlatformId,
        appid: &str,
        fence: i64,
        reason: &str,
    ) -> Result<Option<StoredToken>, StoreError> {
        sqlx::query(statement).bind(platform).bind(appid).bind(fence).bind(reason).execute(&self.pool).await?;
        Ok(None)
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
        lease: Duration,
    ) -> Result<RefreshClaim, PortError> {
        Ok(self.lease_refresh(platform, holder, seen, lease).await?)
    }

    async fn end_refresh(
        &self,
        platform: PlatformId,
        holder: &Holder,
        fence: i64,
        how: Refreshed,
    ) -> Result<Option<StoredToken>, PortError> {
        Ok(self.end_lease(platform, holder, fence, how).await?)
    }

    async fn ticket(&self, platform: PlatformId) -> Result<Option<(SecretString, Duration)>, PortError> {
        Ok(self.newest_ticket(platform).await?)
    }
}
