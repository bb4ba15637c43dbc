//! Readings of phones, and the asks that go to sleep by them. (Those that wake do so with the record of the item: record.sql.)

use std::collections::HashSet;

use crate::{
    domain::{CheckName, ItemKey, outcome::PhoneState},
    store::{StoreError, pool::Transaction, record::RecordContext},
};

pub(super) async fn write(
    transaction: &mut Transaction,
    context: RecordContext,
    readings: &[(&ItemKey, PhoneState)],
) -> Result<(), StoreError> {
    if readings.is_empty() {
        return Ok(());
    }
    // One merchant may be read and asked in one batch: the ask came later.
    let mut latest: Vec<(&ItemKey, PhoneState)> = readings.to_vec();
    latest.sort_by(|left, right| (&left.0.appid, right.0.check).cmp(&(&right.0.appid, left.0.check)));
    latest.dedup_by(|later, earlier| later.0.appid == earlier.0.appid);
    let appids: Vec<&str> = latest.iter().map(|(key, _)| key.appid.as_str()).collect();
    let states: Vec<&'static str> = latest.iter().map(|(_, state)| <&'static str>::from(*state)).collect();
    let bound: Vec<String> = sqlx::query_scalar(include_str!("../sql/phone_read.sql"))
        .bind(context.platform)
        .bind(&appids)
        .bind(&states)
        .fetch_one(&mut **transaction)
        .await?;
    let bound: HashSet<String> = bound.into_iter().collect();
    // The ask's own item was settled with its claim; only a reading decides about somebody else's item.
    let read: Vec<&str> = latest
        .iter()
        .filter(|(key, _)| key.check == CheckName::Phone && bound.contains(&key.appid))
        .map(|(key, _)| key.appid.as_str())
        .collect();
    if read.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("../sql/phone_stills_ask.sql"))
        .bind(context.platform)
        .bind(read)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
