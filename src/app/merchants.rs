//! `sync`: merchants from WeChat's authorizer list, or from a list of the operator's own.

use futures_util::future::join_all;

use super::{App, AppError, Exit, Ready, counted::counted, platforms::Member};
use crate::{
    ops::print::{Column, Kind, Table},
    patrol::sync::{Sync, SyncError, Synced},
    store::merchant_list::MerchantList,
};

impl App {
    /// Reads the authorizer list of each platform and what WeChat says about each merchant. What one platform lacks stops
    /// no other.
    pub(super) async fn sync(&self) -> Result<Exit, AppError> {
        self.refuse_sync()?;
        let members = self.members().await?;
        let several = members.len() > 1;
        let syncs = members.iter().map(|member| async move {
            let ready = self.ready_for(member).await?;
            self.syncer(&ready).run().await.map_err(said)
        });
        let synced = self.alive_while(join_all(syncs)).await;
        let mut synced: Vec<_> = members.iter().map(Member::appid).zip(synced).collect();
        if let [(_, Err(_))] = synced[..]
            && let Some((_, Err(error))) = synced.pop()
        {
            return Err(error);
        }
        let mut ends = Vec::new();
        for (platform, synced) in &synced {
            let of = if several { format!("{platform}: ") } else { String::new() };
            match synced {
                Ok(synced) => {
                    tell!("sync: {of}{}", told(synced));
                    ends.push(if synced.whole() { Exit::Done } else { Exit::Incomplete });
                }
                Err(error) => {
                    tell!("wxpatrol: {of}{error}");
                    ends.push(error.exit());
                }
            }
        }
        self.print_to_programs(&table(&synced))?;
        Ok(Exit::of_all(&ends))
    }

    /// The operator's own list of a platform's merchants, looked at; `None`: WeChat's authorizer list is the list.
    pub(super) async fn merchant_source(&self, component_appid: &str) -> Result<Option<MerchantList>, AppError> {
        let Some(query) = &self.config.merchant_source else { return Ok(None) };
        let refused = |fault: String| AppError::Input(format!("WXPATROL_MERCHANT_SQL: {fault}"));
        let list = self.store.merchant_list(query, component_appid).await.map_err(refused)?;
        if list.is_seen() && !list.given().kind && !self.can_ask() {
            return Err(refused(
                "gives no column kind, without which nobody is patrolled, and WeChat can not be asked because another \
                 system keeps the platform's token: give kind, or set WXPATROL_COMPONENT_TOKEN_URL beside \
                 WXPATROL_TOKEN_URL (or WXPATROL_COMPONENT_TOKEN_SQL beside WXPATROL_TOKEN_SQL)"
                    .to_owned(),
            ));
        }
        Ok(Some(list))
    }

    pub(super) fn syncer(&self, ready: &Ready) -> Sync {
        Sync {
            store: self.store.clone(),
            wire: ready.wire.clone(),
            platform: ready.platform.clone(),
            source: ready.source.clone(),
            stop: ready.stop.clone(),
            closed_max: None,
        }
    }
}

/// What a sync did, for a program: one row for each platform, without counts where it was not synced to the end.
fn table(synced: &[(&str, Result<Synced, AppError>)]) -> Table {
    type Count = (&'static str, fn(&Synced) -> u64);
    let counts: [Count; 6] = [
        ("listed", |synced| synced.listed),
        ("informed", |synced| synced.informed),
        ("unread", |synced| synced.failed),
        ("withdrew", |synced| synced.withdrawn),
        ("nameless", |synced| synced.nameless),
        ("values_left_out", |synced| synced.unreadable),
    ];
    let mut columns = vec![Column::new("platform", Kind::Text)];
    columns.extend(counts.iter().map(|(name, _)| Column::new(*name, Kind::Number)));
    columns.extend([Column::new("complete", Kind::Boolean), Column::new("error", Kind::Text)]);
    let rows = synced.iter().map(|(platform, synced)| {
        let whole = synced.as_ref().is_ok_and(Synced::whole);
        let mut cells = vec![Some((*platform).to_owned())];
        cells.extend(counts.iter().map(|(_, count)| synced.as_ref().ok().map(|synced| count(synced).to_string())));
        cells.extend([Some(whole.to_string()), synced.as_ref().err().map(ToString::to_string)]);
        cells
    });
    Table { title: None, rows: rows.collect(), columns }
}

/// What a sync did, for a person.
pub(super) fn told(synced: &Synced) -> String {
    let mut told = format!(
        "{} listed, {} informed, {} could not be read, {} withdrew",
        counted(synced.listed, "merchant", "merchants"),
        synced.informed,
        synced.failed,
        synced.withdrawn
    );
    if synced.nameless > 0 {
        told += &format!(
            "; {} no merchant (appid is null, or no appid), so no absence was booked",
            counted(synced.nameless, "row of the list names", "rows of the list name")
        );
    } else if !synced.complete && synced.listed == 0 {
        told += "; a list that names nobody while merchants are known proves nothing, so no absence was booked";
    } else if !synced.complete {
        told += "; the list changed while it was read, so no absence was booked";
    }
    if synced.unreadable > 0 {
        told += &format!(
            "; {} left out: kind is mini_program, official_account or other, permission_sets are numbers, authorized_at is \
             an instant",
            counted(
                synced.unreadable,
                "value of WXPATROL_MERCHANT_SQL can not be read and was",
                "values of WXPATROL_MERCHANT_SQL can not be read and were"
            )
        );
    }
    told
}

pub(super) fn said(error: SyncError) -> AppError {
    if error.halts() {
        return AppError::Halted(error.to_string());
    }
    match error {
        SyncError::Store(error) => {
            AppError::Incomplete(format!("{error}; what was read is kept: run `wxpatrol sync` again"))
        }
        error @ (SyncError::Source(_) | SyncError::Closed(..) | SyncError::Stopped) => {
            AppError::Incomplete(error.to_string())
        }
        error @ (SyncError::List(_) | SyncError::Info(_)) => AppError::Incomplete(format!(
            "{error}; the sync has ended, what it read is kept: run `wxpatrol sync` again"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_that_was_not_synced_has_a_row_with_its_error_and_no_counts() {
        let mut synced = Synced::default();
        (synced.listed, synced.informed, synced.failed, synced.complete) = (3, 2, 1, true);
        let table = table(&[("wxa", Ok(synced)), ("wxb", Err(AppError::Incomplete("no ticket".to_owned())))]);
        let text = |row: &[Option<String>]| {
            row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ")
        };
        let rows: Vec<_> = table.rows.iter().map(|row| text(row)).collect();
        assert_eq!(rows, ["wxa 3 2 1 0 0 0 false -", "wxb - - - - - - false no ticket"]);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }
}
