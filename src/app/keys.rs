//! The keys that seal: checked at start, listed and replaced by `keys`.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{App, AppError, Exit};
use crate::{
    cli::KeysAction,
    ops::print::{Column, Kind, Table},
    store::{
        Store, StoreError,
        keys::{KeyChange, KeyHolder},
        rotation::SEALED,
        seal::KeyId,
    },
};

/// What works for long, and seals. Others have ended before anybody would wait for them.
const LONG: [&str; 3] = ["run", "once", "sync"];
/// How long live processes may take to seal with the new key; each beats every ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at what is left.
const AGAIN: Duration = Duration::from_millis(500);

/// Makes sure at the start that this process has the key in use. A process that works for long says first which keys it has,
/// so that either the change of the key sees it, or it sees the change.
pub(super) async fn check(store: &Store, purpose: &str) -> Result<(), StoreError> {
    if LONG.contains(&purpose) {
        store.announce().await?;
    }
    match store.check_sealing_key().await {
        Ok(key) => {
            let configured = store.keys()?.configured();
            if key != configured {
                tracing::info!(in_use = %key, configured = %configured, "`wxpatrol keys rotate` puts the configured key in use");
                if LONG.contains(&purpose) {
                    // It was announced with the configured key; from now on it seals with the one in use.
                    store.beat(None).await?;
                }
            }
            Ok(())
        }
        Err(error) => {
            store.leave().await.ok();
            Err(error)
        }
    }
}

impl App {
    /// `keys`.
    pub(super) async fn keys(&self, action: KeysAction) -> Result<Exit, AppError> {
        match action {
            KeysAction::List => self.list_keys().await,
            KeysAction::Rotate => self.rotate_keys().await,
        }
    }

    async fn list_keys(&self) -> Result<Exit, AppError> {
        let keys = self.store.keys()?;
        let counts = self.store.sealed_counts().await?;
        let holders = self.store.key_holders().await?;
        let used = counts.iter().filter_map(|count| count.key);
        let known = keys.known();
        let foreign: BTreeSet<_> = used.filter(|key| !known.contains(key)).collect();
        let rows = known.iter().copied().chain(foreign).map(|key| {
            let set_as = match known.iter().position(|known| *known == key) {
                Some(0) => "WXPATROL_ENCRYPTION_KEY",
                Some(_) => "WXPATROL_ENCRYPTION_KEYS_OLD",
                None => "not set",
            };
            let values: i64 = counts.iter().filter(|count| count.key == Some(key)).map(|count| count.count).sum();
            let having = holders.iter().filter(|holder| holder.has(key)).count();
            vec![
                Some(key.to_string()),
                Some(set_as.to_owned()),
                Some((key == keys.sealing()).to_string()),
                Some(values.to_string()),
                Some(having.to_string()),
                Some((holders.len() - having).to_string()),
            ]
        });
        let keys = Table {
            title: Some(
                "the keys, by the beginning of their SHA-256, and the live processes that have each".to_owned(),
            ),
            columns: vec![
                Column::new("key_id", Kind::Text),
                Column::new("set_as", Kind::Text),
                Column::new("in_use", Kind::Boolean),
                Column::new("sealed_values", Kind::Number),
                Column::new("processes_with", Kind::Number),
                Column::new("processes_without", Kind::Number),
            ],
            rows: rows.collect(),
        };
        let rows = counts
            .into_iter()
            .map(|count| vec![Some(count.column), count.key.map(|key| key.to_string()), Some(count.count.to_string())]);
        let values = Table {
            title: Some("what each key has sealed".to_owned()),
            columns: vec![
                Column::new("column_name", Kind::Text),
                Column::new("key_id", Kind::Text),
                Column::new("sealed_values", Kind::Number),
            ],
            rows: rows.collect(),
        };
        self.print_all(&[("keys", keys), ("values", values)])?;
        Ok(Exit::Done)
    }

    async fn rotate_keys(&self) -> Result<Exit, AppError> {
        let key = self.store.keys()?.configured();
        match self.store.put_key_in_use().await? {
            KeyChange::None => tell!("keys: the key {key} is in use already"),
            KeyChange::Changed => tell!("keys: the key {key} is in use from now on"),
            KeyChange::Refused(holders) => return Err(lacking(&holders)),
        }
        self.seal_anew(key).await.map_err(|error| match error {
            AppError::Incomplete(_) => error,
            // From here on something is done, whatever ends it.
            _ => AppError::Incomplete(format!("{error}; `wxpatrol keys rotate` goes on with what is left")),
        })
    }

    /// Seals with the key in use what is sealed with others, until nobody seals with those any more.
    async fn seal_anew(&self, key: KeyId) -> Result<Exit, AppError> {
        let mut waiting_since = None;
        let mut resealed = [0; SEALED.len()];
        let (unreadable, late) = loop {
            // Asked before the pass: what a process stored before it sealed with the new key is in the pass after.
            let late = self.store.key_holders().await?.iter().filter(|holder| !holder.seals_with(key)).count();
            let mut unreadable = [0; SEALED.len()];
            let mut overtaken = 0;
            for (at, column) in SEALED.iter().enumerate() {
                let pass = self.store.reseal(*column, || self.stop.is_cancelled()).await?;
                resealed[at] += pass.resealed;
                unreadable[at] = pass.unreadable;
                overtaken += pass.overtaken;
            }
            let waited = waiting_since.get_or_insert_with(Instant::now).elapsed();
            let over = self.stop.is_cancelled() || waited > PATIENCE;
            if (late == 0 && overtaken == 0) || over {
                break (unreadable, late);
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        };
        let counts = self.store.sealed_counts().await?;
        let left = SEALED.map(|column| {
            let others = counts.iter().filter(|count| count.column == column.name && count.key != Some(key));
            others.map(|count| count.count).sum::<i64>()
        });
        let rows = SEALED.iter().enumerate().map(|(at, column)| {
            let cells = [resealed[at].to_string(), left[at].to_string(), unreadable[at].to_string()];
            std::iter::once(column.name.to_owned()).chain(cells).map(Some).collect()
        });
        self.print(&Table {
            title: Some(format!("sealed with the key {key}")),
            columns: vec![
                Column::new("column_name", Kind::Text),
                Column::new("resealed", Kind::Number),
                Column::new("left", Kind::Number),
                Column::new("unreadable", Kind::Number),
            ],
            rows: rows.collect(),
        })?;
        conclude(left.iter().sum(), unreadable.iter().sum(), late, self.stop.is_cancelled())
    }
}

/// Processes that could not open what the new key seals.
fn lacking(holders: &[KeyHolder]) -> AppError {
    let named: Vec<String> =
        holders.iter().map(|holder| format!("{} {} ({})", holder.purpose, holder.process_id, holder.version)).collect();
    AppError::Input(format!(
        "nothing was changed, because live processes do not have WXPATROL_ENCRYPTION_KEY yet: {}; restart each with it, and \
         with the present key in WXPATROL_ENCRYPTION_KEYS_OLD, then repeat (a killed process counts for 30 s more)",
        named.join(", ")
    ))
}

fn conclude(left: i64, unreadable: u64, late: usize, stopped: bool) -> Result<Exit, AppError> {
    let say = |what: String| Err(AppError::Incomplete(what));
    if stopped {
        return say(format!("interrupted; {left} values are left: `wxpatrol keys rotate` goes on with them"));
    }
    if unreadable > 0 {
        return say(format!(
            "{unreadable} values open with none of the keys that are set: `wxpatrol keys list` shows whose they are; name \
             that key in WXPATROL_ENCRYPTION_KEYS_OLD and repeat, or when it is lost, hand the ticket over again and `wxpatrol \
             sync` or import the merchants"
        ));
    }
    if late > 0 {
        return say(format!("{late} live processes have not taken the key up yet: repeat `wxpatrol keys rotate`"));
    }
    if left > 0 {
        return say(format!("{left} values were stored meanwhile with another key: repeat `wxpatrol keys rotate`"));
    }
    tell!("keys: nothing is left of other keys: WXPATROL_ENCRYPTION_KEYS_OLD may be taken away from every process");
    Ok(Exit::Done)
}
