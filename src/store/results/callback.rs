//! The history of the message-push configuration: intervals, and the fields that changed between them.
//!
//! An unchanged configuration writes nothing here: the interval stays open, and the item's last good record tells until
//! when it is confirmed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;

use crate::{
    domain::{
        Callback,
        callback::{CallbackState, CanonicalConfig},
    },
    store::{StoreError, pool::Transaction, record::RecordContext},
};

pub(super) async fn write(
    transaction: &mut Transaction,
    context: RecordContext,
    readings: &[(&str, &Callback)],
) -> Result<(), StoreError> {
    if readings.is_empty() {
        return Ok(());
    }
    let digests: Vec<Vec<u8>> = readings.iter().map(|(_, callback)| callback.digest()).collect();
    let differs: Vec<Option<bool>> = sqlx::query_scalar(include_str!("../sql/callback_news.sql"))
        .bind(context.platform)
        .bind(readings.iter().map(|(appid, _)| *appid).collect::<Vec<_>>())
        .bind(&digests)
        .fetch_one(&mut **transaction)
        .await?;
    let mut opened = Vec::new();
    let mut changed = Vec::new();
    for (((appid, callback), digest), differs) in readings.iter().zip(&digests).zip(differs) {
        match differs {
            Some(false) => {}
            Some(true) => {
                changed.push((*appid, *callback));
                opened.push((*appid, *callback, digest.as_slice()));
            }
            None => opened.push((*appid, *callback, digest.as_slice())),
        }
    }
    if opened.is_empty() {
        return Ok(());
    }
    let read_at: DateTime<Utc> =
        sqlx::query_scalar(include_str!("../sql/clock.sql")).fetch_one(&mut **transaction).await?;
    if !changed.is_empty() {
        close_changed(transaction, context, read_at, &changed).await?;
    }
    sqlx::query(include_str!("../sql/callback_open.sql"))
        .bind(context.platform)
        .bind(read_at)
        .bind(opened.iter().map(|(appid, _, _)| *appid).collect::<Vec<_>>())
        .bind(opened.iter().map(|(_, callback, _)| <&'static str>::from(callback.state())).collect::<Vec<_>>())
        .bind(opened.iter().map(|(_, _, digest)| *digest).collect::<Vec<_>>())
        .bind(opened.iter().map(|(_, callback, _)| callback.config().map(CanonicalConfig::text)).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn close_changed(
    transaction: &mut Transaction,
    context: RecordContext,
    read_at: DateTime<Utc>,
    changed: &[(&str, &Callback)],
) -> Result<(), StoreError> {
    let appids: Vec<&str> = changed.iter().map(|(appid, _)| *appid).collect();
    let before: HashMap<String, (String, Option<Json<Value>>)> =
        sqlx::query_as::<_, (String, String, Option<Json<Value>>)>(include_str!("../sql/callback_current_content.sql"))
            .bind(context.platform)
            .bind(&appids)
            .fetch_all(&mut **transaction)
            .await?
            .into_iter()
            .map(|(appid, state, config)| (appid, (state, config)))
            .collect();
    let mut rows = Vec::new();
    for (appid, callback) in changed {
        let Some((state, config)) = before.get(*appid) else { continue };
        let state: CallbackState = state.parse().map_err(|_| {
            StoreError::Inconsistent(format!("callback_snapshot of {appid} has the unknown state {state}"))
        })?;
        let old = config.as_ref().map(|config| &config.0);
        rows.extend(callback.changes_since(state, old).into_iter().map(|change| (*appid, change)));
    }
    sqlx::query(include_str!("../sql/callback_close.sql"))
        .bind(context.platform)
        .bind(&appids)
        .bind(read_at)
        .execute(&mut **transaction)
        .await?;
    sqlx::query(include_str!("../sql/callback_changes.sql"))
        .bind(context.platform)
        .bind(read_at)
        .bind(rows.iter().map(|(appid, _)| *appid).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, change)| change.field.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, change)| change.old.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, change)| change.new.as_deref()).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
