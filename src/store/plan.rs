//! Planning: every merchant and every wish has its items, and only what changed is looked at.

use serde::Serialize;
use sqlx::FromRow;

use super::{Store, StoreError, record::RecordContext, results};
use crate::domain::{CheckName, PlatformId, check::Unit};

const BATCH: i64 = 2_000;

#[derive(FromRow)]
struct StaleWish {
    official_account: String,
    mini_program: String,
    word_given: bool,
    barred: Option<String>,
}

/// What planning looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Changed merchants.
    pub merchants: u64,
    /// Changed wishes.
    pub wishes: u64,
}

fn sets(check: CheckName) -> String {
    let sets: Vec<String> = check.permission_sets().iter().map(ToString::to_string).collect();
    sets.join(",")
}

impl Store {
    /// Looks at every changed merchant and wish in batches, each in its own transaction. May be repeated, and by several
    /// processes at once: each waits for what another looks at, so that afterwards every item is there and a run that
    /// finds nothing due has nothing to do. With `hold_new`, messages to new merchants wait for an
    /// operator.
    ///
    /// # Errors
    /// Postgres did not answer; the batches before are planned.
    pub async fn plan(&self, context: RecordContext, hold_new: bool) -> Result<Planned, StoreError> {
        sqlx::query(include_str!("sql/holds_expire.sql")).bind(context.platform).execute(&self.pool).await?;
        let mut planned = Planned::default();
        loop {
            let merchants = self.plan_merchants(context.platform, hold_new).await?;
            let wishes = if merchants == 0 { self.plan_wishes(context, hold_new).await? } else { 0 };
            planned.merchants += merchants;
            planned.wishes += wishes;
            if merchants + wishes > 0 {
                continue;
            }
            let left: bool = sqlx::query_scalar(include_str!("sql/plan_left.sql"))
                .bind(context.platform)
                .fetch_one(&self.pool)
                .await?;
            if !left {
                break;
            }
        }
        Ok(planned)
    }

    async fn plan_merchants(&self, platform: PlatformId, hold_new: bool) -> Result<u64, StoreError> {
        let checks: Vec<CheckName> =
            CheckName::ALL.iter().copied().filter(|check| check.unit() == Unit::MiniProgram).collect();
        let looked_at: i64 = sqlx::query_scalar(include_str!("sql/plan_merchants.sql"))
            .bind(platform)
            .bind(BATCH)
            .bind(hold_new)
            .bind(checks.iter().map(|check| check.name()).collect::<Vec<_>>())
            .bind(checks.iter().map(|check| sets(*check)).collect::<Vec<_>>())
            .bind(checks.iter().map(|check| check.messages_people()).collect::<Vec<_>>())
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(looked_at).unwrap_or(0))
    }

    async fn plan_wishes(&self, context: RecordContext, hold_new: bool) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let stale: Vec<StaleWish> = sqlx::query_as(include_str!("sql/plan_wishes_stale.sql"))
            .bind(context.platform)
            .bind(BATCH)
            .bind(CheckName::Invite.permission_sets())
            .fetch_all(&mut *transaction)
            .await?;
        if stale.is_empty() {
            return Ok(0);
        }
        let accounts: Vec<&str> = stale.iter().map(|wish| wish.official_account.as_str()).collect();
        let mini_programs: Vec<&str> = stale.iter().map(|wish| wish.mini_program.as_str()).collect();
        sqlx::query(include_str!("sql/plan_wish_items.sql"))
            .bind(context.platform)
            .bind(hold_new)
            .bind(&accounts)
            .bind(&mini_programs)
            .bind(stale.iter().map(|wish| wish.barred.as_deref()).collect::<Vec<_>>())
            .bind(stale.iter().map(|wish| wish.word_given).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(include_str!("sql/plan_links.sql"))
            .bind(context.platform)
            .bind(&accounts)
            .bind(&mini_programs)
            .execute(&mut *transaction)
            .await?;
        let given: Vec<(&str, &str)> = stale
            .iter()
            .filter(|wish| wish.word_given)
            .map(|wish| (wish.official_account.as_str(), wish.mini_program.as_str()))
            .collect();
        results::links::apply_operators_word(&mut transaction, context, &given).await?;
        sqlx::query(include_str!("sql/plan_wishes_done.sql"))
            .bind(context.platform)
            .bind(&accounts)
            .bind(&mini_programs)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(u64::try_from(stale.len()).unwrap_or(u64::MAX))
    }
}
