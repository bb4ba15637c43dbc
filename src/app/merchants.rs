//! `sync`: merchants from WeChat's authorizer list.

use super::{App, AppError, Exit, Ready};
use crate::patrol::sync::{Sync, SyncError};

impl App {
    /// Reads the authorizer list and what WeChat says about each merchant.
    pub(super) async fn sync(&self) -> Result<Exit, AppError> {
        self.refuse_sync()?;
        let ready = self.ready().await?;
        let synced = self.syncer(&ready).run().await.map_err(said)?;
        eprintln!(
            "sync: {} merchants listed, {} informed, {} could not be read, {} withdrew{}",
            synced.listed,
            synced.informed,
            synced.failed,
            synced.withdrawn,
            if synced.complete { "" } else { "; the list changed while it was read, so no absence was booked" }
        );
        Ok(if synced.failed == 0 { Exit::Done } else { Exit::Incomplete })
    }

    pub(super) fn syncer(&self, ready: &Ready) -> Sync {
        Sync {
            store: self.store.clone(),
            wire: ready.wire.clone(),
            platform: ready.platform.clone(),
            stop: self.stop.clone(),
        }
    }
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
