//! What each check's finding becomes in the tables, inside the record's transaction.

mod callback;
pub(super) mod links;
mod phone;

use super::{StoreError, pool::Transaction, record::RecordContext};
use crate::domain::{Finding, Settled};

/// Writes the findings of the claims that were recorded.
pub(super) async fn write(
    transaction: &mut Transaction,
    context: RecordContext,
    applied: &[&Settled],
) -> Result<(), StoreError> {
    let mut phones = Vec::new();
    let mut callbacks = Vec::new();
    let mut readings = Vec::new();
    let mut invitations = Vec::new();
    for claim in applied {
        match &claim.finding {
            Some(Finding::Phone(state)) => phones.push((&*claim.key, *state)),
            Some(Finding::Callback(callback)) => callbacks.push((claim.key.appid.as_str(), callback)),
            Some(Finding::Links { began_at, seen }) => {
                readings.push(links::Reading { account: &claim.key.appid, began_at: *began_at, seen });
            }
            Some(Finding::Invite(answer)) => invitations.push((&*claim.key, answer)),
            None => {}
        }
    }
    phone::write(transaction, context, &phones).await?;
    callback::write(transaction, context, &callbacks).await?;
    links::write_readings(transaction, context, &readings).await?;
    links::write_invitations(transaction, context, &invitations).await
}
