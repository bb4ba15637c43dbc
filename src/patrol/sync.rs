//! Reads who authorized the platform: the authorizer list page by page, then what WeChat says about each merchant.
//!
//! Both parts may be stopped and repeated: the list is kept page by page, infos batch by batch, and a second call goes on
//! where the first stopped. A merchant that two complete passes in a row do not name counts as withdrawn.

mod fault;
mod infos;

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub use fault::SyncError;

use crate::{
    domain::{Class, Endpoint},
    store::{Store, merchant_list::MerchantList, merchants::MerchantRow},
    wechat::{PAGE_MAX, Platform, Wire},
};

/// Merchants are asked about again after this.
const INFO_PATIENCE: Duration = Duration::from_secs(20 * 3600);
/// Times that a changing list is read in one sync.
const PASSES_MAX: u32 = 3;
/// A closed endpoint is asked about again after this.
const CLOSED_AGAIN: Duration = Duration::from_secs(60);
/// Tries of one call before a pass gives up.
const TRIES: u32 = 3;

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Merchants that the list named.
    pub listed: u64,
    /// Whether the list was read to its end, and proves who is not in it.
    pub complete: bool,
    /// Merchants that are not in the list for the second time, and now count as withdrawn.
    pub withdrawn: u64,
    /// Merchants whose info was read.
    pub informed: u64,
    /// Merchants whose info could not be read; the next sync asks again.
    pub failed: u64,
    /// Entries of the list that name no merchant.
    pub nameless: u64,
    /// Values of the operator's own list that can not be read, and were left out.
    pub unreadable: u64,
    /// Whether the platform was halted when this began, and WeChat has not answered since.
    halted: bool,
}

impl Synced {
    /// Whether everything was read that there is.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.complete && self.failed == 0 && self.unreadable == 0
    }
}

/// One reading of the list, from its first page to its last.
struct Pass {
    /// How many merchants WeChat says there are; `None`: it does not say.
    total: Option<u64>,
    /// It said the same with each page: otherwise merchants came or went meanwhile, and moved others from one page to another.
    steady: bool,
    /// Entries, those included that were named before.
    held: u64,
    /// Entries without an appid that can be read.
    nameless: u64,
}

impl Pass {
    /// Whether nobody is missing who is in the list. A list that names somebody twice is as long as it says when it is read
    /// again and brings nobody new.
    fn names_all(&self, total: u64, listed: u64, grew: bool) -> bool {
        listed >= total || (self.held >= total && !grew)
    }
}

/// Reads the list and the infos of one platform.
pub struct Sync {
    /// Where merchants are kept.
    pub store: Store,
    /// The wire.
    pub wire: Wire,
    /// The platform.
    pub platform: Platform,
    /// The operator's own list of merchants (`merchant_source`); `None`: WeChat's authorizer list.
    pub source: Option<MerchantList>,
    /// Ends the sync early.
    pub stop: CancellationToken,
    /// The longest that a closed endpoint is waited for; `None`: until it opens.
    pub closed_max: Option<Duration>,
}

impl Sync {
    /// Reads the whole list, then every info that is missing or old, as far as there is a token to ask with. A fault of the whole
    /// platform opens its breaker, and an answer of WeChat's closes it, as in a patrol: of a platform without merchants nothing
    /// else would.
    ///
    /// # Errors
    /// See [`SyncError`]; what was read before is kept.
    pub async fn run(&self) -> Result<Synced, SyncError> {
        let halted = self.store.breaker(self.platform.id).await?.halted;
        let ended = self.read(halted).await;
        match &ended {
            Ok(_) => self.store.note_synced(self.platform.id).await?,
            Err(error) => self.halt(error, halted).await,
        }
        ended
    }

    async fn read(&self, halted: bool) -> Result<Synced, SyncError> {
        let mut synced = match &self.source {
            Some(source) => Synced { halted, ..self.listed(source).await? },
            None => self.list_of(halted).await?,
        };
        if !self.wire.tokens().know_the_platform() {
            return Ok(synced);
        }
        self.store.forget_old_info(self.platform.id, INFO_PATIENCE).await?;
        self.infos(false, &mut synced).await?;
        Ok(synced)
    }

    /// Reads the infos of merchants whose kind is not known, so that no merchant is left out of a run.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn learn_kinds(&self) -> Result<Synced, SyncError> {
        let mut synced = Synced::default();
        self.infos(true, &mut synced).await?;
        Ok(synced)
    }

    /// Reads WeChat's list, again when it changed meanwhile: what one pass missed another names. Proves no absence: that is
    /// [`Self::run`]'s, which is not begun again within seconds. Beside a list of the operator's own only refresh tokens of known
    /// merchants are kept of it.
    ///
    /// # Errors
    /// See [`SyncError`]; the pages before are kept.
    pub async fn list(&self) -> Result<Synced, SyncError> {
        let mut synced = Synced::default();
        self.passes(&mut synced).await?;
        Ok(synced)
    }

    /// Reads WeChat's list, and books who is not in it.
    async fn list_of(&self, halted: bool) -> Result<Synced, SyncError> {
        let mut synced = Synced { halted, ..Synced::default() };
        let began_at = self.passes(&mut synced).await?;
        // Merchants that came or went while pages were read shift the others: such a reading proves no absence.
        if synced.complete {
            let absences = self.store.book_absences(self.platform.id, began_at).await?;
            synced.withdrawn = u64::try_from(absences.withdrawn).unwrap_or(0);
        }
        Ok(synced)
    }

    /// Reads the list until it stood still while it was read; when that began.
    async fn passes(&self, synced: &mut Synced) -> Result<DateTime<Utc>, SyncError> {
        let began_at = self.store.read_clock().await?;
        let mut named = HashSet::new();
        let (mut total, mut stood_still) = (None, false);
        for passes in 1..=PASSES_MAX {
            let listed_before = synced.listed;
            let pass = self.pass(&mut named, synced).await?;
            let grew = passes == 1 || synced.listed > listed_before;
            total = pass.total;
            synced.nameless = pass.nameless;
            stood_still = pass.steady && total.is_none_or(|total| pass.names_all(total, synced.listed, grew));
            // Somebody stands there whom it does not name.
            synced.complete = stood_still && pass.nameless == 0;
            if stood_still {
                break;
            }
            tracing::info!(listed = synced.listed, total, "the list changed while it was read; reading it again");
        }
        if synced.listed == 0 && self.store.count_merchants(self.platform.id).await?.0 > 0 {
            // Believed, two such answers in a row would cost everybody its tokens. Who did leave says so when it is called.
            tracing::warn!("the list names nobody, while merchants are known: it proves nothing");
            synced.complete = false;
            return Ok(began_at);
        }
        if stood_still {
            // Whose lost token stands in no entry that can be read has no other there.
            self.store.note_complete_reading(self.platform.id, began_at).await?;
        } else {
            tracing::warn!(listed = synced.listed, total, "the list kept changing; no absence is booked");
        }
        if synced.nameless > 0 {
            let entries = synced.nameless;
            tracing::warn!(entries, "entries of the list have no appid that can be read; no absence is booked");
        }
        Ok(began_at)
    }

    /// Reads the list once.
    async fn pass(&self, named: &mut HashSet<u64>, synced: &mut Synced) -> Result<Pass, SyncError> {
        let (mut offset, mut nameless) = (0_u64, 0);
        let mut totals = HashSet::new();
        loop {
            let read_at = self.store.read_clock().await?;
            let page = self.page(offset).await?;
            self.answered(synced).await?;
            let total = page.total;
            totals.insert(total);
            let held = page.held as u64;
            nameless += held - page.entries.len() as u64;
            // Somebody else refreshes then: what the list names would only make two refreshers of one.
            let external = self.wire.tokens().are_external();
            let rows: Vec<MerchantRow> = page
                .entries
                .into_iter()
                .filter(|entry| named.insert(fingerprint(&entry.appid)))
                .map(|entry| MerchantRow {
                    appid: entry.appid,
                    authorized_at: entry.authorized_at_secs.and_then(|secs| DateTime::from_timestamp(secs, 0)),
                    refresh_token: entry.refresh_token.filter(|_| !external),
                    asked_at: Some(read_at),
                    ..MerchantRow::default()
                })
                .collect();
            match self.source {
                // Who is a merchant says the operator's own list; WeChat's only brings tokens back.
                Some(_) => self.store.keep_refresh_tokens(self.platform.id, &rows).await?,
                None if rows.is_empty() => {}
                None => self.store.keep_merchants(self.platform.id, &rows, true).await?,
            }
            synced.listed += rows.len() as u64;
            offset += held;
            if held == 0 || (held < u64::from(PAGE_MAX) && total.is_none_or(|total| offset >= total)) {
                return Ok(Pass { total, steady: totals.len() == 1, held: offset, nameless });
            }
        }
    }

    async fn page(&self, offset: u64) -> Result<crate::wechat::AuthorizerPage, SyncError> {
        let mut tries = 0;
        loop {
            self.permit(Endpoint::ApiGetAuthorizerList).await?;
            match self.unless_stopped(self.wire.authorizer_list(&self.platform, offset, PAGE_MAX)).await? {
                Ok(page) => return Ok(page),
                Err(error) => {
                    tries += 1;
                    if error.class() == Class::Halt || tries >= TRIES {
                        return Err(SyncError::List(error));
                    }
                    tracing::warn!(%error, "the authorizer list is asked for again");
                    self.pause(Duration::from_secs(u64::from(tries))).await?;
                }
            }
        }
    }

    async fn permit(&self, endpoint: Endpoint) -> Result<(), SyncError> {
        loop {
            let permit = tokio::select! {
                () = self.stop.cancelled() => return Err(SyncError::Stopped),
                permit = self.wire.pace().permit(self.platform.id, endpoint) => permit,
            };
            match permit {
                Ok(permit) if permit.still_good() => return Ok(()),
                Ok(_) => {}
                Err(closed) if self.closed_max.is_some_and(|max| closed.wait > max) => {
                    return Err(SyncError::Closed(endpoint, closed.wait));
                }
                // An operator may end a closure before its time.
                Err(closed) => self.pause(closed.wait.min(CLOSED_AGAIN)).await?,
            }
        }
    }

    async fn pause(&self, wait: Duration) -> Result<(), SyncError> {
        self.unless_stopped(tokio::time::sleep(wait)).await
    }

    /// A reading that is dropped in the middle costs nothing, and may wait for Postgres with its token.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, SyncError> {
        tokio::select! {
            () = self.stop.cancelled() => Err(SyncError::Stopped),
            done = work => Ok(done),
        }
    }
}

/// Eight bytes for each merchant instead of its appid: a pass over a million merchants stays small.
pub(super) fn fingerprint(appid: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    appid.hash(&mut hasher);
    hasher.finish()
}
