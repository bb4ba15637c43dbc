//! Reads who authorized the platform from the operator's own list (`WXPATROL_MERCHANT_SQL`) instead of WeChat's: page by
//! page, in bounded memory, and by the same rules. Two complete passes in a row without a merchant are its withdrawal.

use std::collections::HashSet;

use super::sync::{Sync, SyncError, Synced, fingerprint};
use crate::store::{foreign::QueryFault, merchant_list::MerchantList};

impl Sync {
    /// Reads the operator's list once, from one snapshot of it. Of rows with one appid the first counts.
    ///
    /// A list that names nobody although merchants are known is not believed: views are empty while they are rebuilt. One
    /// with rows that name no merchant proves no absence either.
    pub(super) async fn listed(&self, source: &MerchantList) -> Result<Synced, SyncError> {
        let failed = |fault: QueryFault| SyncError::Source(fault.to_string());
        let platform = self.platform.id;
        let began_at = self.store.read_clock().await?;
        let mut synced = Synced::default();
        let mut named = HashSet::new();
        let mut pages = source.pages(&self.platform.component_appid).await.map_err(failed)?;
        loop {
            let page = tokio::select! {
                () = self.stop.cancelled() => return Err(SyncError::Stopped),
                page = pages.next() => page.map_err(failed)?,
            };
            let Some(mut page) = page else { break };
            synced.nameless += page.nameless;
            synced.unreadable += page.unreadable;
            page.rows.retain(|row| named.insert(fingerprint(&row.appid)));
            synced.listed += page.rows.len() as u64;
            self.store.keep_listed(platform, &page.rows, source.given().everything()).await?;
        }
        pages.close().await;
        if synced.listed == 0 {
            let (known, _) = self.store.count_merchants(platform).await?;
            if known > 0 {
                let of = &self.platform.component_appid;
                return Err(SyncError::Source(format!("it lists no merchant of {of}, while {known} are known")));
            }
        }
        if synced.unreadable > 0 {
            tracing::warn!(
                values = synced.unreadable,
                "WXPATROL_MERCHANT_SQL: values were left out that can not be read: kind is mini_program, official_account \
                 or other, permission_sets are numbers, authorized_at is an instant"
            );
        }
        synced.complete = synced.nameless == 0;
        if synced.complete {
            let absences = self.store.book_absences(platform, began_at).await?;
            synced.withdrawn = u64::try_from(absences.withdrawn).unwrap_or(0);
        } else {
            tracing::warn!(
                rows = synced.nameless,
                "WXPATROL_MERCHANT_SQL: rows name no merchant (appid is null, or no appid); no absence is booked"
            );
        }
        Ok(synced)
    }
}
