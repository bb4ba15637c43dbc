//! Planning: every merchant and every wish has its items, and only what changed is looked at.

use serde::Serialize;
use sqlx::FromRow;

use super::{Store, StoreError, pool::Transaction, record::RecordContext, results};
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
        self.expire_holds(context.platform).await?;
        let mut planned = Planned::default();
        loop {
            planned.merchants += self.plan_merchants(context.platform, hold_new).await?;
            planned.wishes += self.plan_wishes(context, hold_new).await?;
            // What changed behind the passes, or is another process's that may yet give it up.
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

    /// Ends the holds whose time is over, alone among the writers of holds, as an operator's word does.
    async fn expire_holds(&self, platform: PlatformId) -> Result<(), StoreError> {
        let over: bool =
            sqlx::query_scalar(include_str!("sql/holds_over.sql")).bind(platform).fetch_one(&self.pool).await?;
        if over {
            let mut transaction = self.pool.begin().await?;
            sqlx::query(include_str!("sql/holds_lock.sql")).execute(&mut *transaction).await?;
            sqlx::query(include_str!("sql/holds_expire.sql")).bind(platform).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// One pass over the changed merchants in the order of their appids, each batch behind the one before it.
    async fn plan_merchants(&self, platform: PlatformId, hold_new: bool) -> Result<u64, StoreError> {
        let (mut planned, mut behind) = (0, String::new());
        loop {
            let (merchants, last) = self.plan_merchants_behind(platform, hold_new, &behind).await?;
            planned += u64::try_from(merchants).unwrap_or(0);
            match last {
                Some(last) if merchants == BATCH => behind = last,
                _ => return Ok(planned),
            }
        }
    }

    /// One batch: how many merchants it looked at, and the last of them.
    pub(super) async fn plan_merchants_behind(
        &self,
        platform: PlatformId,
        hold_new: bool,
        behind: &str,
    ) -> Result<(i64, Option<String>), StoreError> {
        let checks: Vec<CheckName> =
            CheckName::ALL.iter().copied().filter(|check| check.unit() == Unit::MiniProgram).collect();
        let mut transaction = self.begin_planning().await?;
        let looked_at = sqlx::query_as(include_str!("sql/plan_merchants.sql"))
            .bind(platform)
            .bind(BATCH)
            .bind(hold_new)
            .bind(checks.iter().map(|check| check.name()).collect::<Vec<_>>())
            .bind(checks.iter().map(|check| sets(*check)).collect::<Vec<_>>())
            .bind(checks.iter().map(|check| check.messages_people()).collect::<Vec<_>>())
            .bind(behind)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(looked_at)
    }

    async fn begin_planning(&self) -> Result<Transaction, StoreError> {
        Ok(self.pool.begin_with(include_str!("sql/plan_begin.sql")).await?)
    }

    /// One pass over the changed wishes, likewise.
    async fn plan_wishes(&self, context: RecordContext, hold_new: bool) -> Result<u64, StoreError> {
        let (mut planned, mut behind) = (0, (String::new(), String::new()));
        loop {
            let (wishes, last) = self.plan_wishes_behind(context, hold_new, &behind).await?;
            planned += u64::try_from(wishes).unwrap_or(0);
            match last {
                Some(last) if wishes == BATCH => behind = last,
                _ => return Ok(planned),
            }
        }
    }

    async fn plan_wishes_behind(
        &self,
        context: RecordContext,
        hold_new: bool,
        (official_account, mini_program): &(String, String),
    ) -> Result<(i64, Option<(String, String)>), StoreError> {
        let mut transaction = self.begin_planning().await?;
        let stale: Vec<StaleWish> = sqlx::query_as(include_str!("sql/plan_wishes_stale.sql"))
            .bind(context.platform)
            .bind(BATCH)
            .bind(CheckName::Invite.permission_sets())
            .bind(official_account)
            .bind(mini_program)
            .fetch_all(&mut *transaction)
            .await?;
        let Some(last) = stale.last().map(|wish| (wish.official_account.clone(), wish.mini_program.clone())) else {
            return Ok((0, None));
        };
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
        Ok((i64::try_from(stale.len()).unwrap_or(i64::MAX), Some(last)))
    }
}
