//! Recording: results, history and the items' next due times, in one transaction for a batch of claims.
//!
//! Locks are taken in one order: items in key order, then the result tables in key order. History follows from the rows
//! that the fenced update returned; a stale row drops alone.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    Store, StoreError,
    failures::{self, FailedCall},
    pool::Transaction,
};
use crate::domain::{
    CheckName, Class, Finding, PlatformId, Settled,
    link::Patience,
    outcome::{CallRecord, IntentOutcome, PhoneState},
};

/// What a record did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// For each claim of the batch, in order: whether it was written. `false`: its lease was lost.
    pub written: Vec<bool>,
}

/// What recording needs to know besides the claims.
#[derive(Debug, Clone, Copy)]
pub struct RecordContext {
    /// The platform of every claim in the batch.
    pub platform: PlatformId,
    /// The run that the work is booked under, when there is one.
    pub run: Option<Uuid>,
    /// How long undecided invitations are waited for.
    pub patience: Patience,
}

/// Whether recording this claim may write another item of its merchant, by a statement of its own.
fn writes_others(claim: &Settled) -> bool {
    if claim.call.as_ref().is_some_and(|call| call.closes_until.is_some()) {
        return true;
    }
    match &claim.finding {
        Some(Finding::Links { .. } | Finding::Invite(_)) => true,
        Some(Finding::Phone(_) | Finding::Callback(_)) | None => claim.key.check.gate().is_some(),
    }
}

/// Whether the answer to a message is written though its claim is not, because its lease was over: what WeChat said is true whoever
/// holds the item now. Not that an invitation was sent: its pair has not heard of it, and would be invited again after the cool-down.
/// Left unknown, it is settled with the next claim.
fn stands(claim: &Settled) -> bool {
    claim.key.check != CheckName::Invite || claim.intent.is_some_and(|(_, outcome)| outcome == IntentOutcome::NotMade)
}

/// The failed call of a claim, when it is worth keeping.
fn failed_call(claim: &Settled) -> Option<FailedCall<'_>> {
    let call = claim.call.as_ref()?;
    Some(FailedCall {
        appid: &claim.key.appid,
        check: claim.key.check.name(),
        counterpart: &claim.key.counterpart,
        endpoint: claim.key.check.endpoint(),
        class: call.class,
        errcode: call.errcode,
        rid: call.rid.as_deref(),
        latency: Some(call.latency),
        detail: call.detail.as_deref()?.into(),
    })
}

/// What a record writes to one item: what became of its claim, or that it wakes by another's.
struct Row<'a> {
    check: CheckName,
    claim: &'a Settled,
    /// The claim's place in the batch; `None`: the item only wakes.
    place: Option<usize>,
}

impl<'a> Row<'a> {
    /// A claim's own row, and that of the ask that wakes when its phone is missing.
    fn of((place, claim): (usize, &&'a Settled)) -> impl Iterator<Item = Self> {
        let own = Self { check: claim.key.check, claim, place: Some(place) };
        let missing = own.check == CheckName::Phone && claim.finding == Some(Finding::Phone(PhoneState::Missing));
        std::iter::once(own).chain(missing.then_some(Self { check: CheckName::Ask, claim, place: None }))
    }

    /// The order of the primary key.
    fn key(&self) -> (&'a str, &'static str, &'a str) {
        (&self.claim.key.appid, self.check.name(), &self.claim.key.counterpart)
    }

    /// What the claim says of its own item.
    fn said<T>(&self, what: impl FnOnce(&'a Settled) -> Option<T>) -> Option<T> {
        self.place.and_then(|_| what(self.claim))
    }

    fn call(&self) -> Option<&'a CallRecord> {
        self.said(|claim| claim.call.as_ref())
    }
}

/// Locks the families of claims that may write others, with every claim that stands before the last of them, in one key order.
/// What stands behind needs no lock of its own: the update that follows takes it in that order.
async fn lock_families(
    transaction: &mut Transaction,
    context: RecordContext,
    claims: &[&Settled],
) -> Result<(), StoreError> {
    let Some(last) = claims.iter().rposition(|claim| writes_others(claim)) else { return Ok(()) };
    let last = &claims[last].key.appid;
    let mut rows: BTreeSet<(&str, &str, Option<&str>)> = BTreeSet::new();
    for claim in claims.iter().take_while(|claim| claim.key.appid <= *last) {
        let key = &claim.key;
        if writes_others(claim) {
            rows.extend(key.check.family().iter().map(|check| (&*key.appid, check.name(), None)));
        } else {
            rows.insert((&key.appid, key.check.name(), Some(&key.counterpart)));
        }
    }
    sqlx::query(include_str!("sql/record_lock.sql"))
        .bind(context.platform)
        .bind(rows.iter().map(|(appid, _, _)| *appid).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, check, _)| *check).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, _, counterpart)| *counterpart).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Store {
    /// Records a batch of claims of one platform. All of it or nothing; repeating a batch that was recorded writes
    /// nothing, because its leases are gone.
    ///
    /// # Errors
    /// [`StoreError::Data`]: some row can not be stored, halve the batch. [`StoreError::Collision`]: repeat it.
    pub async fn record(&self, context: RecordContext, batch: &[Settled]) -> Result<Recorded, StoreError> {
        // Calls end in no order; rows are taken in that of their keys, as everybody takes them.
        let mut places: Vec<usize> = (0..batch.len()).collect();
        places.sort_by(|left, right| batch[*left].key.cmp(&batch[*right].key));
        let claims: Vec<&Settled> = places.iter().map(|place| &batch[*place]).collect();
        let mut transaction = self.begin_by_key().await?;
        lock_families(&mut transaction, context, &claims).await?;
        let recorded = self.write_items(&mut transaction, context, &claims).await?;
        let applied: Vec<&Settled> =
            claims.iter().zip(&recorded).filter(|(_, recorded)| **recorded).map(|(claim, _)| *claim).collect();
        self.write_gates(&mut transaction, context, &applied).await?;
        super::results::write(&mut transaction, context, &applied).await?;
        let ended: Vec<(&Settled, (i32, IntentOutcome))> = claims
            .iter()
            .zip(&recorded)
            .filter_map(|(claim, recorded)| Some((*claim, claim.intent.filter(|_| *recorded || stands(claim))?)))
            .collect();
        self.write_intents(&mut transaction, context, &ended).await?;
        let failed: Vec<FailedCall<'_>> = applied.iter().filter_map(|claim| failed_call(claim)).collect();
        failures::write(&mut transaction, context.platform, context.run, &failed).await?;
        self.write_withdrawn(&mut transaction, context, &applied).await?;
        self.write_closures(&mut transaction, context.platform, &applied).await?;
        transaction.commit().await?;
        let mut written = vec![false; batch.len()];
        for (place, recorded) in places.into_iter().zip(recorded) {
            written[place] = recorded;
        }
        Ok(Recorded { written })
    }

    async fn write_items(
        &self,
        transaction: &mut Transaction,
        context: RecordContext,
        batch: &[&Settled],
    ) -> Result<Vec<bool>, StoreError> {
        let mut rows: Vec<Row<'_>> = batch.iter().enumerate().flat_map(Row::of).collect();
        rows.sort_by_key(Row::key);
        let ordinals: Vec<i64> = sqlx::query_scalar(include_str!("sql/record.sql"))
            .bind(context.platform)
            .bind(self.process_id)
            .bind(context.run)
            .bind(rows.iter().map(|row| row.claim.key.appid.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.check.name()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.claim.key.counterpart.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.claim.fence).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.said(|claim| claim.outcome.name())).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.said(|claim| claim.outcome.reason())).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.call().map(|call| call.class.name())).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.call().and_then(|call| call.errcode)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.call().and_then(|call| call.rid.as_deref())).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.said(|claim| claim.outcome.due_at())).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.claim.outcome.counts()).collect::<Vec<_>>())
            // After a message it is the gate that waits for the merchant's limit.
            .bind(
                rows.iter()
                    .map(|row| row.said(|claim| claim.free_at.filter(|_| claim.key.check.gate().is_none())))
                    .collect::<Vec<_>>(),
            )
            .bind(rows.iter().map(|row| row.place.is_none()).collect::<Vec<_>>())
            .fetch_one(&mut **transaction)
            .await?;
        let mut written = vec![false; batch.len()];
        for ordinal in ordinals {
            let row = usize::try_from(ordinal - 1).ok().and_then(|index| rows.get(index));
            if let Some(place) = row.and_then(|row| row.place) {
                written[place] = true;
            }
        }
        Ok(written)
    }

    async fn write_gates(
        &self,
        transaction: &mut Transaction,
        context: RecordContext,
        applied: &[&Settled],
    ) -> Result<(), StoreError> {
        let gated: Vec<(&Settled, CheckName)> =
            applied.iter().filter_map(|claim| claim.key.check.gate().map(|gate| (*claim, gate))).collect();
        if gated.is_empty() {
            return Ok(());
        }
        let now = self.now();
        sqlx::query(include_str!("sql/record_gates.sql"))
            .bind(context.platform)
            .bind(gated.iter().map(|(claim, _)| claim.key.appid.as_str()).collect::<Vec<_>>())
            .bind(gated.iter().map(|(_, gate)| gate.name()).collect::<Vec<_>>())
            .bind(gated.iter().map(|(claim, _)| claim.free_at.unwrap_or(now)).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    async fn write_intents(
        &self,
        transaction: &mut Transaction,
        context: RecordContext,
        ended: &[(&Settled, (i32, IntentOutcome))],
    ) -> Result<(), StoreError> {
        if ended.is_empty() {
            return Ok(());
        }
        // How a message ended is worth a wait for the disk: lost, it would count as sent.
        sqlx::query(include_str!("sql/intend_durable.sql")).execute(&mut **transaction).await?;
        sqlx::query(include_str!("sql/record_intents.sql"))
            .bind(context.platform)
            .bind(ended.iter().map(|(claim, _)| claim.key.check.name()).collect::<Vec<_>>())
            .bind(ended.iter().map(|(claim, _)| claim.key.appid.as_str()).collect::<Vec<_>>())
            .bind(ended.iter().map(|(claim, _)| claim.key.counterpart.as_str()).collect::<Vec<_>>())
            .bind(ended.iter().map(|(_, (number, _))| *number).collect::<Vec<_>>())
            .bind(ended.iter().map(|(_, (_, outcome))| <&'static str>::from(*outcome)).collect::<Vec<_>>())
            .bind(ended.iter().map(|(claim, _)| claim.call.as_ref().and_then(|call| call.errcode)).collect::<Vec<_>>())
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    async fn write_withdrawn(
        &self,
        transaction: &mut Transaction,
        context: RecordContext,
        applied: &[&Settled],
    ) -> Result<(), StoreError> {
        let (gone, asked_at): (Vec<&str>, Vec<_>) = applied
            .iter()
            .filter_map(|claim| Some((claim.key.appid.as_str(), claim.call.as_ref()?)))
            .filter(|(_, call)| call.class == Class::Withdrawn)
            .map(|(appid, call)| (appid, call.asked_at))
            .unzip();
        if gone.is_empty() {
            return Ok(());
        }
        sqlx::query(include_str!("sql/record_withdrawn.sql"))
            .bind(context.platform)
            .bind(gone)
            .bind(asked_at)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}
