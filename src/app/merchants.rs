//! `sync`: merchants from WeChat's authorizer list.

use futures_util::future::join_all;

use super::{App, AppError, Exit, Ready};
use crate::patrol::sync::{Sync, SyncError, Synced};

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
        let mut ends = Vec::new();
        for (member, synced) in members.iter().zip(synced) {
            let of = if several { format!("{}: ", member.appid()) } else { String::new() };
            match synced {
                Ok(synced) => {
                    eprintln!("sync: {of}{}", told(&synced));
                    ends.push(if synced.failed == 0 { Exit::Done } else { Exit::Incomplete });
                }
                Err(error) if !several => return Err(error),
                Err(error) => {
                    eprintln!("wxpatrol: {of}{error}");
                    ends.push(error.exit());
                }
            }
        }
        Ok(Exit::of_all(&ends))
    }

    pub(super) fn syncer(&self, ready: &Ready) -> Sync {
        Sync {
            store: self.store.clone(),
            wire: ready.wire.clone(),
            platform: ready.platform.clone(),
            stop: ready.stop.clone(),
        }
    }
}

fn told(synced: &Synced) -> String {
    format!(
        "{} merchants listed, {} informed, {} could not be read, {} withdrew{}",
        synced.listed,
        synced.informed,
        synced.failed,
        synced.withdrawn,
        if synced.complete { "" } else { "; the list changed while it was read, so no absence was booked" }
    )
}

pub(super) fn said(error: SyncError) -> AppError {
    if error.halts() {
        return AppError::Halted(error.to_string());
    }
    match error {
        SyncError::Store(error) => AppError::Store(error),
        error @ (SyncError::List(_) | SyncError::Info(_) | SyncError::Stopped) => {
            AppError::Incomplete(error.to_string())
        }
    }
}
