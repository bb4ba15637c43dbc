//! Failed calls, kept for the days in which WeChat answers about their request ids.

use std::{borrow::Cow, time::Duration};

use uuid::Uuid;

use super::{Store, StoreError, pool::Transaction};
use crate::domain::{CallError, Class, Endpoint, PlatformId};

/// A call that failed.
pub(super) struct FailedCall<'a> {
    /// The merchant that it was about.
    pub appid: &'a str,
    /// The check; empty: none, a sync asked about the merchant.
    pub check: &'static str,
    /// The other side of a pair, or empty.
    pub counterpart: &'a str,
    pub endpoint: Endpoint,
    pub class: Class,
    pub errcode: Option<i64>,
    pub rid: Option<&'a str>,
    /// `None`: it was not measured.
    pub latency: Option<Duration>,
    /// In words fit for a table.
    pub detail: Cow<'a, str>,
}

/// Keeps failed calls of one platform, of a run or of none.
pub(super) async fn write(
    transaction: &mut Transaction,
    platform: PlatformId,
    run: Option<Uuid>,
    failed: &[FailedCall<'_>],
) -> Result<(), StoreError> {
    if failed.is_empty() {
        return Ok(());
    }
    let millis = |latency: Duration| i32::try_from(latency.as_millis()).unwrap_or(i32::MAX);
    sqlx::query(include_str!("sql/record_failures.sql"))
        .bind(platform)
        .bind(run)
        .bind(failed.iter().map(|call| call.appid).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| call.check).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| call.counterpart).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| call.endpoint.name()).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| call.class.name()).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| call.errcode).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| call.rid).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| call.latency.map(millis)).collect::<Vec<_>>())
        .bind(failed.iter().map(|call| &*call.detail).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Store {
    /// Notes that WeChat was asked about merchants in vain, and why: not every run asks again, and whoever looks finds it among
    /// the failed calls. Repeated, it keeps the calls twice.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn note_unread_infos(
        &self,
        platform: PlatformId,
        unread: &[(String, CallError)],
    ) -> Result<(), StoreError> {
        if unread.is_empty() {
            return Ok(());
        }
        // Who only waited for the platform's token was not asked about.
        let failed = unread.iter().filter(|(_, error)| !error.only_waited()).map(|(appid, error)| FailedCall {
            appid,
            check: "",
            counterpart: "",
            endpoint: Endpoint::ApiGetAuthorizerInfo,
            class: error.class(),
            errcode: error.errcode(),
            rid: error.rid(),
            latency: None,
            detail: error.to_string().into(),
        });
        let failed: Vec<FailedCall<'_>> = failed.collect();
        let mut transaction = self.pool.begin().await?;
        sqlx::query(include_str!("sql/merchants_unreadable.sql"))
            .bind(platform)
            .bind(unread.iter().map(|(appid, _)| appid.as_str()).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        write(&mut transaction, platform, None, &failed).await?;
        Ok(transaction.commit().await?)
    }
}
