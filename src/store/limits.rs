//! Limits beyond their slices: what every process is set to, what closes an endpoint or one merchant's, and what WeChat says
//! about its own limits.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Store, StoreError, pool::Transaction};
use crate::domain::{CheckName, Class, Endpoint, Limit, PlatformId, Settled, outcome::Outcome};

/// Questions about the quota of one endpoint in a day of platform time, over all merchants and processes. The questions
/// have a limit of their own at WeChat (44993), so a few merchants speak for all.
pub const QUESTIONS_A_DAY: i32 = 3;

/// What this process is set to for one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct LimitTold {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The platform's limit; `None`: unlimited.
    pub limit: Option<Limit>,
    /// One merchant's limit; `None`: unlimited, or the endpoint is called for no merchant.
    pub merchant: Option<Limit>,
}

/// What holds for one endpoint besides what this process is set to.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct LimitHeard {
    #[sqlx(try_from = "String")]
    endpoint: EndpointName,
    closed_secs: Option<f64>,
    learned_secs: Option<f64>,
    merchant_secs: Option<f64>,
    learned_merchant_secs: Option<f64>,
    /// Merchants whose answers the learned figures are from.
    pub learned_from: i32,
    /// Calls of today, of all processes, that a limit in shadow would have held back.
    pub held_back: i64,
    /// What other living processes are set to, when it differs.
    pub others: Option<String>,
}

/// An endpoint of this binary, or one of a newer.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EndpointName(Option<Endpoint>);

impl From<String> for EndpointName {
    fn from(name: String) -> Self {
        Self(name.parse().ok())
    }
}

fn duration(secs: Option<f64>) -> Option<Duration> {
    secs.and_then(|secs| Duration::try_from_secs_f64(secs).ok()).filter(|duration| !duration.is_zero())
}

impl LimitHeard {
    /// The endpoint; `None`: one that only a newer binary knows.
    #[must_use]
    pub fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.0
    }

    /// Time until the endpoint opens; `None`: it is open.
    #[must_use]
    pub fn closed_for(&self) -> Option<Duration> {
        duration(self.closed_secs)
    }

    /// From call to call of the platform, as WeChat said.
    #[must_use]
    pub fn learned(&self) -> Option<Duration> {
        duration(self.learned_secs)
    }

    /// From call to call of one merchant, as WeChat said.
    #[must_use]
    pub fn learned_for_merchant(&self) -> Option<Duration> {
        duration(self.learned_merchant_secs)
    }

    /// From call to call of one merchant: the strictest of what WeChat said and what living processes are set to.
    #[must_use]
    pub fn merchant(&self) -> Option<Duration> {
        duration(self.merchant_secs)
    }
}

/// What WeChat said about one merchant's quota; a part that is missing is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaSaid {
    /// Calls a day, and how many of them are used.
    pub day: Option<(i64, i64)>,
    /// Calls in so many seconds.
    pub rate: Option<(i64, i64)>,
    /// Calls in so many seconds on behalf of the merchant.
    pub platform_rate: Option<(i64, i64)>,
}

impl Store {
    /// Closes an endpoint for every process until `until`; `slows`: it opens at half its pace, or less when it was slow
    /// already, and comes back step by step. May be repeated; a longer closure is never shortened.
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
        slows: bool,
    ) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/closure_close.sql"))
            .bind(platform)
            .bind(endpoint.name())
            .bind(until)
            .bind(errcode)
            .bind(reason)
            .bind(slows)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Says what this process is set to. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn tell_limits(&self, platform: PlatformId, told: &[LimitTold]) -> Result<(), StoreError> {
        let text = |limit: &Option<Limit>| limit.map(|limit| limit.to_string());
        sqlx::query(include_str!("sql/limits_tell.sql"))
            .bind(platform)
            .bind(self.process_id)
            .bind(told.iter().map(|told| told.endpoint.name()).collect::<Vec<_>>())
            .bind(told.iter().map(|told| text(&told.limit).unwrap_or("unlimited".to_owned())).collect::<Vec<_>>())
            .bind(
                told.iter()
                    .map(|told| told.limit.and_then(|limit| limit.interval()).unwrap_or_default().as_secs_f64())
                    .collect::<Vec<_>>(),
            )
            .bind(
                told.iter().map(|told| told.limit.and_then(|limit| limit.per_day()).map(i64::from)).collect::<Vec<_>>(),
            )
            .bind(told.iter().map(|told| told.limit.is_some_and(|limit| limit.shadow())).collect::<Vec<_>>())
            .bind(told.iter().map(|told| text(&told.merchant)).collect::<Vec<_>>())
            .bind(
                told.iter()
                    .map(|told| told.merchant.map(|limit| limit.spacing()).unwrap_or_default().as_secs_f64())
                    .collect::<Vec<_>>(),
            )
            .execute(&self.pool)
            .await?;
        sqlx::query(include_str!("sql/closure_day_lift.sql"))
            .bind(platform)
            .bind(super::slices::USED_UP)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What holds for every endpoint besides what this process is set to.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn hear_limits(&self, platform: PlatformId) -> Result<Vec<LimitHeard>, StoreError> {
        Ok(sqlx::query_as(include_str!("sql/limits_heard.sql"))
            .bind(platform)
            .bind(self.process_id)
            .fetch_all(&self.pool)
            .await?)
    }

    /// Takes the right to ask WeChat about one merchant's quota of an endpoint, and says whose; `None`: today's questions
    /// are asked, or there is nobody to ask about. `check` tells which merchants can be called. Not to be repeated for
    /// one question: each call takes another.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn take_question(
        &self,
        platform: PlatformId,
        endpoint: Endpoint,
        check: CheckName,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(include_str!("sql/quota_take.sql"))
            .bind(platform)
            .bind(endpoint.name())
            .bind(check.name())
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(QUESTIONS_A_DAY)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Keeps what WeChat said about a merchant's quota, or the code it refused with. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn keep_quota(
        &self,
        platform: PlatformId,
        appid: &str,
        endpoint: Endpoint,
        said: Result<QuotaSaid, i64>,
    ) -> Result<(), StoreError> {
        let (figures, errcode) = match said {
            Ok(figures) => (figures, None),
            Err(errcode) => (QuotaSaid::default(), Some(errcode)),
        };
        let split = |pair: Option<(i64, i64)>| (pair.map(|pair| pair.0), pair.map(|pair| pair.1));
        let (day, rate, platform_rate) = (split(figures.day), split(figures.rate), split(figures.platform_rate));
        sqlx::query(include_str!("sql/quota_keep.sql"))
            .bind(platform)
            .bind(appid)
            .bind(endpoint.name())
            .bind(errcode)
            .bind(day.0)
            .bind(day.1)
            .bind(rate.0)
            .bind(rate.1)
            .bind(platform_rate.0)
            .bind(platform_rate.1)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Draws what the newest answers about an endpoint agree on. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn learn_limits(&self, platform: PlatformId, endpoint: Endpoint) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/limits_learn.sql"))
            .bind(platform)
            .bind(endpoint.name())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets what was learned so many hours ago, and not anew since. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn forget_limits(&self, platform: PlatformId, hours: i32) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/limits_forget.sql")).bind(platform).bind(hours).execute(&self.pool).await?;
        Ok(())
    }

    /// Leaves one merchant's endpoint alone until `until`, with everything of the merchant that is due there before. May
    /// be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn close_merchant(
        &self,
        platform: PlatformId,
        appid: &str,
        endpoint: Endpoint,
        until: DateTime<Utc>,
        class: Class,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_by_key().await?;
        let checks = CheckName::ALL.iter().filter(|check| check.endpoint() == endpoint);
        let checks: Vec<&str> = checks.map(|check| check.name()).collect();
        sqlx::query(include_str!("sql/record_lock.sql"))
            .bind(platform)
            .bind(vec![appid; checks.len()])
            .bind(&checks)
            .bind(vec![None::<&str>; checks.len()])
            .execute(&mut *transaction)
            .await?;
        let closing = Closing { appid, endpoint, until, class, errcode: None, waits: class != Class::QuotaMinute };
        close(&mut transaction, platform, &[closing]).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The closures that a batch's calls were answered with. The items are locked.
    pub(super) async fn write_closures(
        &self,
        transaction: &mut Transaction,
        platform: PlatformId,
        applied: &[&Settled],
    ) -> Result<(), StoreError> {
        let closing: Vec<Closing<'_>> = applied
            .iter()
            .filter_map(|claim| {
                let call = claim.call.as_ref()?;
                Some(Closing {
                    appid: &claim.key.appid,
                    endpoint: claim.key.check.endpoint(),
                    until: call.closes_until?,
                    class: call.class,
                    errcode: call.errcode,
                    waits: matches!(claim.outcome, Outcome::Deferred { .. }),
                })
            })
            .collect();
        if closing.is_empty() { Ok(()) } else { close(transaction, platform, &closing).await }
    }
}

/// One merchant's endpoint, closed.
struct Closing<'a> {
    appid: &'a str,
    endpoint: Endpoint,
    until: DateTime<Utc>,
    class: Class,
    errcode: Option<i64>,
    /// What is due before waits as well.
    waits: bool,
}

async fn close(transaction: &mut Transaction, platform: PlatformId, closing: &[Closing<'_>]) -> Result<(), StoreError> {
    sqlx::query(include_str!("sql/merchant_close.sql"))
        .bind(platform)
        .bind(closing.iter().map(|closing| closing.appid).collect::<Vec<_>>())
        .bind(closing.iter().map(|closing| closing.endpoint.name()).collect::<Vec<_>>())
        .bind(closing.iter().map(|closing| closing.until).collect::<Vec<_>>())
        .bind(closing.iter().map(|closing| closing.class.name()).collect::<Vec<_>>())
        .bind(closing.iter().map(|closing| closing.errcode).collect::<Vec<_>>())
        .bind(closing.iter().map(|closing| closing.waits).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
