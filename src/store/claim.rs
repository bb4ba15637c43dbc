//! Claiming: leases on due items, with the tokens they need.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use strum::VariantArray;

use super::{Store, StoreError, lease::Lease, runs::gates, seal::Place};
use crate::domain::{CheckName, ItemKey, PlatformId, ports::StoredToken};

/// Which items a claim is after, by how often in a row they lost their process: a lease of theirs ended without a word. Those
/// that lost it twice or more are suspects: one of them may be what kills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
pub enum Losses {
    /// Once at most: no suspects.
    OnceAtMost,
    /// Twice.
    Twice,
    /// Three times.
    ThreeTimes,
    /// Four times or more.
    FourTimes,
}

impl Losses {
    /// How many of them go in one claim at most, and under way together. The more an item has lost, the smaller its company: the
    /// one that kills its process takes fewer and fewer others along, and is alone at the last try before it is parked; those that
    /// are merely unlucky are not held up one by one.
    #[must_use]
    pub const fn company_max(self) -> u32 {
        match self {
            Self::OnceAtMost => u32::MAX,
            Self::Twice => 64,
            Self::ThreeTimes => 8,
            Self::FourTimes => 1,
        }
    }

    /// The number that statements know it by: how many times, at the ends of the range "or less" and "or more".
    const fn times(self) -> i32 {
        match self {
            Self::OnceAtMost => 1,
            Self::Twice => 2,
            Self::ThreeTimes => 3,
            Self::FourTimes => 4,
        }
    }

    /// Whether these are suspects.
    #[must_use]
    pub fn suspects(self) -> bool {
        self != Self::OnceAtMost
    }
}

impl std::fmt::Display for Losses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OnceAtMost => "once at most",
            Self::Twice => "twice",
            Self::ThreeTimes => "three times",
            Self::FourTimes => "four times or more",
        })
    }
}

/// The suspects of a check that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueSuspects {
    /// All of them, also those that somebody leases and those that their merchant's own limit bars.
    pub items: u64,
    /// What those among them that may be claimed now have lost, the fewest losses first.
    pub claimable: Vec<Losses>,
    /// Some lost their process on five claims in a row: [`Store::park`] parks them.
    pub to_park: bool,
}

/// What to claim.
#[derive(Debug, Clone, Copy)]
pub struct ClaimWish<'a> {
    /// The platform.
    pub platform: PlatformId,
    /// The check.
    pub check: CheckName,
    /// The reading check whose row carries the merchant's limit, for checks that message people.
    pub gate: Option<CheckName>,
    /// Items at most; never more than [`Losses::company_max`].
    pub items_max: u32,
    /// Only these merchants; `None`: all.
    pub merchants: Option<&'a [String]>,
    /// How long the claims belong to this process.
    pub lease: Duration,
    /// Only items that lost their process so often.
    pub losses: Losses,
    /// From call to call of one merchant: what a dead process may have called last is not called again before.
    pub merchant_interval: Duration,
}

/// Where an item stands in the order of claims: by due time, then by key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace {
    pub(super) due_at: DateTime<Utc>,
    pub(super) appid: String,
    pub(super) counterpart: String,
}

/// What one statement claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The claims, in the order of their keys.
    pub claims: Vec<Claim>,
    /// The place of the last of them, where the next claim may go on. `None`: nothing was claimed, or the wish is of a kind
    /// that always begins with the first.
    pub last: Option<QueuePlace>,
}

/// A leased item.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The item.
    pub key: Arc<ItemKey>,
    /// Proof of the lease.
    pub fence: i64,
    /// Failed tries of the present work.
    pub attempts: u32,
    /// Times in a row that WeChat told us to slow down for this item.
    pub slowed: u32,
    /// The merchant's stored token, when there is one.
    pub token: Option<StoredToken>,
    /// When `token.good_for` was true.
    pub claimed_at: Instant,
    /// What holds the item for this process.
    pub lease: Arc<Lease>,
}

/// What a claim leased, a list for each column: one row of a thousand entries costs both sides less than a thousand rows.
#[derive(FromRow)]
struct ClaimRows {
    now: DateTime<Utc>,
    appid: Vec<String>,
    counterpart: Vec<String>,
    fence: Vec<i64>,
    attempts: Vec<i16>,
    slowed: Vec<i16>,
    access_sealed: Vec<Option<Vec<u8>>>,
    good_for_secs: Vec<Option<f64>>,
    version: Vec<Option<i64>>,
    /// Only of claims that know of places.
    #[sqlx(default)]
    due_at: Vec<DateTime<Utc>>,
}

struct ClaimRow {
    appid: String,
    counterpart: String,
    fence: i64,
    attempts: i16,
    slowed: i16,
    access_sealed: Option<Vec<u8>>,
    good_for_secs: Option<f64>,
    version: Option<i64>,
}

impl ClaimRows {
    /// The last place in the order of claims.
    fn last(&self) -> Option<QueuePlace> {
        let places = self.due_at.iter().zip(&self.appid).zip(&self.counterpart);
        let ((due_at, appid), counterpart) = places.max()?;
        Some(QueuePlace { due_at: *due_at, appid: appid.clone(), counterpart: counterpart.clone() })
    }

    /// Every list is as long as the others.
    fn rows(self) -> impl Iterator<Item = ClaimRow> {
        let owned = self.appid.into_iter().zip(self.counterpart).zip(self.access_sealed);
        owned.enumerate().map(move |(at, ((appid, counterpart), access_sealed))| ClaimRow {
            appid,
            counterpart,
            fence: self.fence[at],
            attempts: self.attempts[at],
            slowed: self.slowed[at],
            access_sealed,
            good_for_secs: self.good_for_secs[at],
            version: self.version[at],
        })
    }
}

impl Store {
    /// Leases up to `items_max` due items, most overdue first. Repeating it claims others.
    ///
    /// # Errors
    /// Postgres did not answer; whatever was leased comes due again by itself.
    pub async fn claim(&self, wish: ClaimWish<'_>) -> Result<Vec<Claim>, StoreError> {
        Ok(self.claim_behind(wish, None).await?.claims)
    }

    /// Like [`Self::claim`], for a caller that has just claimed everything up to a place: begins behind it. Whatever came due
    /// before it meanwhile (a lease that ended) is left, so that a claim that finds too little is followed by one from the
    /// start. Wishes for a few merchants, and for checks with a gate, always begin at the start.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn claim_behind(&self, wish: ClaimWish<'_>, place: Option<&QueuePlace>) -> Result<Claimed, StoreError> {
        let asked = Instant::now();
        let statement = match wish.gate {
            Some(_) => include_str!("sql/claim_gated.sql"),
            None => include_str!("sql/claim.sql"),
        };
        let query = sqlx::query_as::<_, ClaimRows>(statement)
            .bind(wish.platform)
            .bind(wish.check.name())
            .bind(i64::from(wish.items_max.min(wish.losses.company_max())))
            .bind(wish.lease.as_secs_f64())
            .bind(self.process_id)
            .bind(wish.merchants)
            .bind(wish.losses.times())
            .bind(wish.merchant_interval.as_secs_f64());
        let of_all = wish.merchants.is_none();
        let query = match (wish.gate, place.filter(|_| of_all)) {
            (Some(gate), _) => query.bind(gate.name()),
            (None, Some(place)) => query.bind(Some(place.due_at)).bind(&place.appid).bind(&place.counterpart),
            (None, None) => query.bind(None::<DateTime<Utc>>).bind("").bind(""),
        };
        let mut transaction = self.begin_by_key().await?;
        let leased = query.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        let Some(leased) = leased else { return Ok(Claimed::default()) };
        self.keep_clock(leased.now, asked);
        let last = leased.last().filter(|_| of_all);
        let mut claims: Vec<Claim> = leased.rows().map(|row| self.opened(row, wish, asked)).collect();
        claims.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(Claimed { claims, last })
    }

    /// A place at random among the first due items of a check, for a probe to begin behind; `None`: with the first. So one odd
    /// merchant does not speak for a halted platform again and again.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn probe_place(&self, platform: PlatformId, check: CheckName) -> Result<Option<QueuePlace>, StoreError> {
        let place: Option<(DateTime<Utc>, String, String)> = sqlx::query_as(include_str!("sql/probe_place.sql"))
            .bind(platform)
            .bind(check.name())
            .fetch_optional(&self.pool)
            .await?;
        Ok(place.map(|(due_at, appid, counterpart)| QueuePlace { due_at, appid, counterpart }))
    }

    /// Whether something of these checks could have been claimed for `while_of` and was not. Each check with its gate, and from
    /// call to call of one merchant: what a dead process held is not claimed before.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn claimable(
        &self,
        platform: PlatformId,
        checks: &[(CheckName, Duration)],
        while_of: Duration,
    ) -> Result<bool, StoreError> {
        let claimable = sqlx::query_scalar(include_str!("sql/claimable.sql"))
            .bind(platform)
            .bind(checks.iter().map(|(check, _)| check.name()).collect::<Vec<_>>())
            .bind(while_of.as_secs_f64())
            .bind(gates(checks.iter().map(|(check, _)| check)))
            .bind(checks.iter().map(|(_, apart)| apart.as_secs_f64()).collect::<Vec<_>>());
        Ok(claimable.fetch_one(&self.pool).await?)
    }

    /// What suspects a check has among these merchants (`None`: all), when calls of one merchant stand `merchant_interval`
    /// apart.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn due_suspects(
        &self,
        platform: PlatformId,
        check: CheckName,
        merchants: Option<&[String]>,
        merchant_interval: Duration,
    ) -> Result<DueSuspects, StoreError> {
        let rows: Vec<(i32, i64, bool)> = sqlx::query_as(include_str!("sql/suspects.sql"))
            .bind(platform)
            .bind(check.name())
            .bind(merchants)
            .bind(merchant_interval.as_secs_f64())
            .fetch_all(&self.pool)
            .await?;
        let claimable = |losses: &Losses| {
            let last = *losses == Losses::FourTimes;
            losses.suspects()
                && rows
                    .iter()
                    .any(|(times, _, free)| *free && (*times == losses.times() || last && *times > losses.times()))
        };
        Ok(DueSuspects {
            items: rows.iter().map(|(_, items, _)| u64::try_from(*items).unwrap_or(0)).sum(),
            claimable: Losses::VARIANTS.iter().copied().filter(claimable).collect(),
            to_park: rows.iter().any(|(times, _, _)| *times > Losses::FourTimes.times()),
        })
    }

    /// Parks the items of a check that lost their process on five claims in a row, and answers whose they are. May be
    /// repeated.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn park(&self, platform: PlatformId, check: CheckName) -> Result<Vec<String>, StoreError> {
        let parked = sqlx::query_scalar(include_str!("sql/items_park.sql")).bind(platform).bind(check.name());
        Ok(parked.fetch_all(&self.pool).await?)
    }

    /// A token that does not open is as good as none: the refresh that follows says what is wrong.
    fn opened(&self, row: ClaimRow, wish: ClaimWish<'_>, asked: Instant) -> Claim {
        let good_for = Duration::try_from_secs_f64(row.good_for_secs.unwrap_or(0.0)).unwrap_or_default();
        let place = Place { platform: wish.platform, appid: &row.appid, column: "access" };
        let token = match (&self.sealer, row.access_sealed, row.version) {
            (Some(sealer), Some(sealed), Some(version)) if good_for > Duration::ZERO => sealer
                .open(place, &sealed)
                .inspect_err(|error| tracing::warn!(merchant.id = row.appid, %error, "a stored token does not open"))
                .ok()
                .map(|access_token| StoredToken { access_token, good_for, version }),
            _ => None,
        };
        let key = Arc::new(ItemKey {
            platform: wish.platform,
            appid: row.appid,
            check: wish.check,
            counterpart: row.counterpart,
        });
        Claim {
            lease: Lease::new(Arc::clone(&key), row.fence, asked + wish.lease, wish.merchant_interval),
            key,
            fence: row.fence,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            slowed: u32::try_from(row.slowed).unwrap_or(0),
            token,
            claimed_at: asked,
        }
    }
}
