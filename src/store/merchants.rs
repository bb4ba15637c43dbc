//! Merchants: kept from the authorizer list, from files and from what WeChat says about each.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{FromRow, Postgres};

use super::{Store, StoreError, merchant_list::Given, pool::Transaction, seal::Place};
use crate::domain::{Kind, PlatformId};

/// A merchant as a list or a file names it; `None` leaves what is known alone.
#[derive(Debug, Clone, Default)]
pub struct MerchantRow {
    /// The merchant.
    pub appid: String,
    /// What kind of account it is.
    pub kind: Option<Kind>,
    /// Its name.
    pub nickname: Option<String>,
    /// The legal entity behind it.
    pub principal: Option<String>,
    /// Granted permission sets.
    pub permission_sets: Option<Vec<i32>>,
    /// WeChat's account_status.
    pub account_status: Option<i32>,
    /// When it authorized the platform.
    pub authorized_at: Option<DateTime<Utc>>,
    /// Its refresh token; empty ones are not kept.
    pub refresh_token: Option<SecretString>,
    /// When this was asked for, on Postgres's clock: what was learnt later stays. `None`: now.
    pub asked_at: Option<DateTime<Utc>>,
}

/// A merchant that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMerchant {
    /// What kind of account it is.
    pub kind: Kind,
    /// Whether it took its authorization back.
    pub withdrawn: bool,
}

/// What a complete pass over the list of merchants, WeChat's or the operator's own, did not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Absences {
    /// Merchants that were not named.
    pub absent: i64,
    /// Those among them that two passes in a row did not name: they now count as withdrawn.
    pub withdrawn: i64,
}

/// Postgres stores no NUL, and a control character in a name helps nobody: both become the replacement character.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn sets(sets: Option<&Vec<i32>>) -> Option<String> {
    sets.map(|sets| sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

/// Of rows with one appid the last.
fn unique(rows: &[MerchantRow]) -> Vec<&MerchantRow> {
    let unique: HashMap<&str, &MerchantRow> = rows.iter().map(|row| (row.appid.as_str(), row)).collect();
    unique.into_values().collect()
}

fn place_of(platform: PlatformId, appid: &str) -> Place<'_> {
    Place { platform, appid, column: "refresh" }
}

/// Merchants as the statements that keep them take them: an array for each column.
struct Columns<'a> {
    appids: Vec<&'a str>,
    kinds: Vec<Option<&'static str>>,
    nicknames: Vec<Option<String>>,
    principals: Vec<Option<String>>,
    permission_sets: Vec<Option<String>>,
    account_statuses: Vec<Option<i32>>,
    authorized_at: Vec<Option<DateTime<Utc>>>,
    asked_at: Vec<Option<DateTime<Utc>>>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[&'a MerchantRow]) -> Self {
        Self {
            appids: rows.iter().map(|row| row.appid.as_str()).collect(),
            kinds: rows.iter().map(|row| row.kind.map(<&'static str>::from)).collect(),
            nicknames: rows.iter().map(|row| row.nickname.as_deref().map(plain)).collect(),
            principals: rows.iter().map(|row| row.principal.as_deref().map(plain)).collect(),
            permission_sets: rows.iter().map(|row| sets(row.permission_sets.as_ref())).collect(),
            account_statuses: rows.iter().map(|row| row.account_status).collect(),
            authorized_at: rows.iter().map(|row| row.authorized_at).collect(),
            asked_at: rows.iter().map(|row| row.asked_at).collect(),
        }
    }

    fn bound(self, query: Bound<'a>) -> Bound<'a> {
        query
            .bind(self.appids)
            .bind(self.kinds)
            .bind(self.nicknames)
            .bind(self.principals)
            .bind(self.permission_sets)
            .bind(self.account_statuses)
            .bind(self.authorized_at)
            .bind(self.asked_at)
    }
}

type Bound<'a> = sqlx::query::Query<'a, Postgres, sqlx::postgres::PgArguments>;

/// Who names merchants: it decides what their absence will mean, and whether they are believed to be back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedBy {
    File,
    AuthorizerList,
    /// A list of the operator's own; `whole`: it says everything that WeChat would be asked about.
    OwnList {
        whole: bool,
    },
}

/// The statement that keeps merchants without their tokens.
fn keep<'a>(platform: PlatformId, rows: &[&'a MerchantRow], source: NamedBy) -> Bound<'a> {
    Columns::of(rows)
        .bound(sqlx::query(include_str!("sql/merchants_keep.sql")).bind(platform))
        .bind(source != NamedBy::File)
        .bind(matches!(source, NamedBy::OwnList { .. }))
        .bind(source == NamedBy::OwnList { whole: true })
}

impl Store {
    /// The row number of the platform that this process's environment names; makes the row when there is none, and
    /// remembers that it was named. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn platform(&self, component_appid: &str) -> Result<PlatformId, StoreError> {
        let id = sqlx::query_scalar(include_str!("sql/platform_ensure.sql"))
            .bind(component_appid)
            .fetch_one(&self.pool)
            .await?;
        Ok(id)
    }

    /// Keeps merchants and their refresh tokens, in one transaction. May be repeated; of rows with one appid the last
    /// counts.
    ///
    /// # Errors
    /// Nothing of the batch was kept.
    pub async fn keep_merchants(
        &self,
        platform: PlatformId,
        rows: &[MerchantRow],
        listed: bool,
    ) -> Result<(), StoreError> {
        let rows = unique(rows);
        let mut transaction = self.pool.begin().await?;
        let source = if listed { NamedBy::AuthorizerList } else { NamedBy::File };
        keep(platform, &rows, source).execute(&mut *transaction).await?;
        self.keep_tokens(&mut transaction, platform, &rows).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Keeps merchants from the operator's own list, without tokens. `whole`: the list says everything that WeChat would be
    /// asked about. Who withdrew by WeChat's word stays so, unless it authorized later. May be repeated.
    ///
    /// # Errors
    /// Nothing of the batch was kept.
    pub async fn keep_listed(&self, platform: PlatformId, rows: &[MerchantRow], whole: bool) -> Result<(), StoreError> {
        keep(platform, &unique(rows), NamedBy::OwnList { whole }).execute(&self.pool).await?;
        Ok(())
    }

    /// Keeps refresh tokens of merchants that are known and not withdrawn, and nothing else. May be repeated.
    ///
    /// # Errors
    /// Nothing of the batch was kept.
    pub async fn keep_refresh_tokens(&self, platform: PlatformId, rows: &[MerchantRow]) -> Result<(), StoreError> {
        let appids: Vec<String> = rows.iter().map(|row| row.appid.clone()).collect();
        let known = self.known_merchants(platform, &appids).await?;
        let mut rows = unique(rows);
        rows.retain(|row| known.get(&row.appid).is_some_and(|merchant| !merchant.withdrawn));
        let mut transaction = self.pool.begin().await?;
        self.keep_tokens(&mut transaction, platform, &rows).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn keep_tokens(
        &self,
        transaction: &mut Transaction,
        platform: PlatformId,
        rows: &[&MerchantRow],
    ) -> Result<(), StoreError> {
        let tokens: Vec<(&str, &SecretString, Option<DateTime<Utc>>)> = rows
            .iter()
            .filter_map(|row| Some((row.appid.as_str(), row.refresh_token.as_ref()?, row.asked_at)))
            .filter(|(_, token, _)| !token.expose_secret().is_empty())
            .collect();
        if tokens.is_empty() {
            return Ok(());
        }
        let sealer = self.sealer()?;
        let appids: Vec<&str> = tokens.iter().map(|(appid, ..)| *appid).collect();
        let stored: HashMap<String, Vec<u8>> =
            sqlx::query_as::<_, (String, Vec<u8>)>(include_str!("sql/credentials_sealed.sql"))
                .bind(platform)
                .bind(&appids)
                .fetch_all(&mut **transaction)
                .await?
                .into_iter()
                .collect();
        let differs = |appid: &str, token: &SecretString| {
            stored
                .get(appid)
                .and_then(|sealed| sealer.open(place_of(platform, appid), sealed).ok())
                .is_none_or(|known| known.expose_secret() != token.expose_secret())
        };
        sqlx::query(include_str!("sql/credentials_keep.sql"))
            .bind(platform)
            .bind(&appids)
            .bind(
                tokens
                    .iter()
                    .map(|(appid, token, _)| sealer.seal(place_of(platform, appid), token))
                    .collect::<Vec<_>>(),
            )
            .bind(tokens.iter().map(|(appid, token, _)| differs(appid, token)).collect::<Vec<_>>())
            .bind(tokens.iter().map(|(.., asked_at)| *asked_at).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// Keeps what WeChat says about merchants, but for what the operator's own list gives, and not what it was asked before their
    /// authorization changed. May be repeated.
    ///
    /// # Errors
    /// Nothing of the batch was kept.
    pub async fn keep_info(&self, platform: PlatformId, rows: &[MerchantRow], given: Given) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin_by_key().await?;
        sqlx::query(include_str!("sql/merchant_info.sql"))
            .bind(platform)
            .bind(rows.iter().map(|row| row.appid.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| <&'static str>::from(row.kind.unwrap_or(Kind::Unknown))).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.nickname.as_deref().map(plain)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.principal.as_deref().map(plain)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| sets(row.permission_sets.as_ref())).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.account_status).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.asked_at).collect::<Vec<_>>())
            .bind(given.names())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Marks merchants as withdrawn and erases their tokens, unless they authorized again after WeChat was asked, whose time is
    /// given with each. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn withdraw(&self, platform: PlatformId, refused: &[(String, DateTime<Utc>)]) -> Result<(), StoreError> {
        if !refused.is_empty() {
            let (appids, asked_at): (Vec<&str>, Vec<_>) =
                refused.iter().map(|(appid, at)| (appid.as_str(), *at)).unzip();
            let withdraw = sqlx::query(include_str!("sql/record_withdrawn.sql"));
            withdraw.bind(platform).bind(appids).bind(asked_at).execute(&self.pool).await?;
        }
        Ok(())
    }

    /// Erases the names of a withdrawn merchant and its failed calls, and answers how many intents stay. `None`: there is no
    /// such merchant, or it still is authorized, and nothing was erased. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn forget_merchant(&self, platform: PlatformId, appid: &str) -> Result<Option<i64>, StoreError> {
        let forgotten = sqlx::query_scalar(include_str!("sql/merchant_forget.sql")).bind(platform).bind(appid);
        Ok(forgotten.fetch_optional(&self.pool).await?)
    }

    /// A batch of merchants that WeChat has not been asked about, after `after` in key order.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn merchants_without_info(
        &self,
        platform: PlatformId,
        after: &str,
        merchants_max: i64,
        unknown_only: bool,
    ) -> Result<Vec<String>, StoreError> {
        let appids = sqlx::query_scalar(include_str!("sql/merchants_without_info.sql"))
            .bind(platform)
            .bind(after)
            .bind(merchants_max)
            .bind(unknown_only)
            .fetch_all(&self.pool)
            .await?;
        Ok(appids)
    }

    /// Lets the next passes ask again about merchants whose info is older than `patience`. May be repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn forget_old_info(&self, platform: PlatformId, patience: std::time::Duration) -> Result<(), StoreError> {
        sqlx::query(include_str!("sql/merchants_info_old.sql"))
            .bind(platform)
            .bind(patience.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Books a complete pass over the authorizer list that began at `began_at`.
    ///
    /// # Errors
    /// Postgres did not answer. Not to be repeated for one pass: it counts passes.
    pub async fn book_absences(&self, platform: PlatformId, began_at: DateTime<Utc>) -> Result<Absences, StoreError> {
        let absences = sqlx::query_as(include_str!("sql/merchants_absent.sql"))
            .bind(platform)
            .bind(began_at)
            .fetch_one(&self.pool)
            .await?;
        Ok(absences)
    }

    /// Which of a few appids are known merchants.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn known_merchants(
        &self,
        platform: PlatformId,
        appids: &[String],
    ) -> Result<HashMap<String, KnownMerchant>, StoreError> {
        let rows: Vec<(String, String, bool)> = sqlx::query_as(include_str!("sql/merchants_known.sql"))
            .bind(platform)
            .bind(appids)
            .fetch_all(&self.pool)
            .await?;
        let known = rows.into_iter().map(|(appid, kind, withdrawn)| {
            (appid, KnownMerchant { kind: kind.parse().unwrap_or(Kind::Unknown), withdrawn })
        });
        Ok(known.collect())
    }

    /// Merchants that are not withdrawn, and those of unknown kind among them.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn count_merchants(&self, platform: PlatformId) -> Result<(i64, i64), StoreError> {
        let counts =
            sqlx::query_as(include_str!("sql/merchants_count.sql")).bind(platform).fetch_one(&self.pool).await?;
        Ok(counts)
    }
}
