//! Links: readings and invitations move pairs by the one transition function, on rows that are locked for it.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;

use crate::{
    domain::{
        CheckName, ItemKey,
        link::{Link, LinkEvent, LinkState, Seen},
        outcome::InviteAnswer,
    },
    store::{StoreError, pool::Transaction, record::RecordContext},
};

/// One complete reading of an official account.
pub(super) struct Reading<'a> {
    pub account: &'a str,
    pub began_at: DateTime<Utc>,
    pub seen: &'a [(String, Seen)],
}

/// A pair as it is stored.
#[derive(Debug, Clone, FromRow)]
pub(in crate::store) struct LinkRow {
    official_account: String,
    mini_program: String,
    state: String,
    since: DateTime<Utc>,
    invited_at: Option<DateTime<Utc>>,
    invite_confirmed: bool,
    absent_readings: i16,
    errcode: Option<i64>,
    reason: Option<String>,
    deferred_until: Option<DateTime<Utc>>,
    wanted: bool,
}

impl LinkRow {
    fn link(&self) -> Result<Link, StoreError> {
        let state: LinkState = self.state.parse().map_err(|_| {
            StoreError::Inconsistent(format!("link of {} has the unknown state {}", self.official_account, self.state))
        })?;
        Ok(Link {
            state,
            since: self.since,
            invited_at: self.invited_at,
            invite_confirmed: self.invite_confirmed,
            absent_readings: self.absent_readings,
            errcode: self.errcode,
            reason: self.reason.clone(),
            deferred_until: self.deferred_until,
        })
    }
}

/// A pair with the state it moves to.
pub(in crate::store) struct Moved {
    row: LinkRow,
    next: Link,
    cause: String,
    was_read: bool,
    /// The reading shows a pair that is to be invited, with a status that nobody knows: no reading counts that did not show it.
    unnamed: bool,
}

async fn now(transaction: &mut Transaction) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar(include_str!("../sql/clock.sql")).fetch_one(&mut **transaction).await?)
}

pub(super) async fn write_readings(
    transaction: &mut Transaction,
    context: RecordContext,
    readings: &[Reading<'_>],
) -> Result<(), StoreError> {
    if readings.is_empty() {
        return Ok(());
    }
    let now = now(transaction).await?;
    let accounts: Vec<&str> = readings.iter().map(|reading| reading.account).collect();
    let rows: Vec<LinkRow> = sqlx::query_as(include_str!("../sql/links_of_accounts.sql"))
        .bind(context.platform)
        .bind(&accounts)
        .fetch_all(&mut **transaction)
        .await?;
    let seen: HashMap<&str, (DateTime<Utc>, HashMap<&str, Seen>)> = readings
        .iter()
        .map(|reading| {
            let entries = reading.seen.iter().map(|(appid, seen)| (appid.as_str(), *seen)).collect();
            (reading.account, (reading.began_at, entries))
        })
        .collect();
    let mut moved = Vec::with_capacity(rows.len());
    let mut next_readings: HashMap<&str, Option<DateTime<Utc>>> =
        accounts.iter().map(|account| (*account, None)).collect();
    for row in rows {
        let link = row.link()?;
        let Some((account, (began_at, entries))) = seen.get_key_value(row.official_account.as_str()) else { continue };
        let seen = entries.get(row.mini_program.as_str()).copied().unwrap_or(Seen::Absent);
        let next = link.next(&LinkEvent::Read { seen, began_at: *began_at }, now, context.patience);
        if row.wanted || next.state == LinkState::Linked {
            let due = now + TimeDelta::from_std(next.next_reading(now)).unwrap_or_default();
            let slot = next_readings.entry(account).or_default();
            *slot = Some(slot.map_or(due, |earlier| earlier.min(due)));
        }
        let cause = match seen {
            Seen::Absent => "reading without the pair".to_owned(),
            Seen::Unnamed(status) => format!("reading with the unnamed status {status}"),
            Seen::WaitingOfficialAccount | Seen::WaitingMiniProgram | Seen::Linked | Seen::Refused => {
                "reading".to_owned()
            }
        };
        let unnamed = matches!(seen, Seen::Unnamed(_)) && matches!(next.state, LinkState::Wanted | LinkState::Deferred);
        moved.push(Moved { row, next, cause, was_read: true, unnamed });
    }
    write_moved(transaction, context, now, &moved).await?;
    confirm_intents(transaction, context, &moved).await?;
    sqlx::query(include_str!("../sql/item_due_again.sql"))
        .bind(context.platform)
        .bind(CheckName::Links.name())
        .bind(false)
        .bind(next_readings.keys().copied().collect::<Vec<_>>())
        .bind(next_readings.values().copied().collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    follow(transaction, context, now, &moved).await
}

/// Invitations whose answer was lost, and that a reading shows, were made.
async fn confirm_intents(
    transaction: &mut Transaction,
    context: RecordContext,
    moved: &[Moved],
) -> Result<(), StoreError> {
    let confirmed: Vec<&Moved> =
        moved.iter().filter(|pair| pair.next.invite_confirmed && !pair.row.invite_confirmed).collect();
    if confirmed.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("../sql/intents_confirmed.sql"))
        .bind(context.platform)
        .bind(confirmed.iter().map(|pair| pair.row.official_account.as_str()).collect::<Vec<_>>())
        .bind(confirmed.iter().map(|pair| pair.row.mini_program.as_str()).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn write_invitations(
    transaction: &mut Transaction,
    context: RecordContext,
    invitations: &[(&ItemKey, &InviteAnswer)],
) -> Result<(), StoreError> {
    if invitations.is_empty() {
        return Ok(());
    }
    let now = now(transaction).await?;
    let rows: Vec<LinkRow> = sqlx::query_as(include_str!("../sql/links_of_pairs.sql"))
        .bind(context.platform)
        .bind(invitations.iter().map(|(key, _)| key.appid.as_str()).collect::<Vec<_>>())
        .bind(invitations.iter().map(|(key, _)| key.counterpart.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut **transaction)
        .await?;
    let answers: HashMap<(&str, &str), &InviteAnswer> =
        invitations.iter().map(|(key, answer)| ((key.appid.as_str(), key.counterpart.as_str()), *answer)).collect();
    let mut moved = Vec::with_capacity(rows.len());
    let mut polled = Vec::new();
    for row in rows {
        let link = row.link()?;
        let Some(answer) = answers.get(&(row.official_account.as_str(), row.mini_program.as_str())) else { continue };
        let (event, cause) = event_of(answer);
        let next = link.next(&event, now, context.patience);
        if next.state.pending() {
            polled.push((
                row.official_account.clone(),
                now + TimeDelta::from_std(next.next_reading(now)).unwrap_or_default(),
            ));
        }
        moved.push(Moved { row, next, cause, was_read: false, unnamed: false });
    }
    write_moved(transaction, context, now, &moved).await?;
    sqlx::query(include_str!("../sql/item_due_again.sql"))
        .bind(context.platform)
        .bind(CheckName::Links.name())
        .bind(true)
        .bind(polled.iter().map(|(account, _)| account.as_str()).collect::<Vec<_>>())
        .bind(polled.iter().map(|(_, due)| Some(*due)).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn event_of(answer: &InviteAnswer) -> (LinkEvent, String) {
    match answer {
        InviteAnswer::Sent => (LinkEvent::InviteSent, "invitation sent".to_owned()),
        InviteAnswer::Unknown => (LinkEvent::InviteUnknown, "the answer to the invitation was lost".to_owned()),
        InviteAnswer::AlreadyLinked => (LinkEvent::AlreadyLinked, "WeChat says it is linked already".to_owned()),
        InviteAnswer::QuotaUsedUp { until } => {
            (LinkEvent::QuotaUsedUp { until: *until }, "the quota of the month is used up".to_owned())
        }
        InviteAnswer::Refused { errcode, reason } => (
            LinkEvent::Refused { errcode: *errcode, reason: reason.clone() },
            format!("WeChat refuses the invitation ({errcode})"),
        ),
    }
}

/// An operator's word about pairs that are locked already: wanted again.
pub(in crate::store) async fn apply_operators_word(
    transaction: &mut Transaction,
    context: RecordContext,
    pairs: &[(&str, &str)],
) -> Result<(), StoreError> {
    let now = now(transaction).await?;
    let rows: Vec<LinkRow> = sqlx::query_as(include_str!("../sql/links_of_pairs.sql"))
        .bind(context.platform)
        .bind(pairs.iter().map(|(account, _)| *account).collect::<Vec<_>>())
        .bind(pairs.iter().map(|(_, mini_program)| *mini_program).collect::<Vec<_>>())
        .fetch_all(&mut **transaction)
        .await?;
    let mut moved = Vec::with_capacity(rows.len());
    for row in rows {
        let next = row.link()?.next(&LinkEvent::OperatorWants, now, context.patience);
        let cause = "an operator wants it".to_owned();
        moved.push(Moved { row, next, cause, was_read: false, unnamed: false });
    }
    write_moved(transaction, context, now, &moved).await
}

/// Writes the pairs that moved or were read, and the transitions of those that moved.
async fn write_moved(
    transaction: &mut Transaction,
    context: RecordContext,
    now: DateTime<Utc>,
    moved: &[Moved],
) -> Result<(), StoreError> {
    if moved.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("../sql/links_write.sql"))
        .bind(context.platform)
        .bind(now)
        .bind(moved.iter().map(|pair| pair.row.official_account.as_str()).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.row.mini_program.as_str()).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.state.name()).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.since).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.invited_at).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.invite_confirmed).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.absent_readings).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.errcode).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.reason.as_deref()).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.next.deferred_until).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.was_read).collect::<Vec<_>>())
        .bind(moved.iter().map(|pair| pair.unnamed).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    let steps: Vec<&Moved> = moved.iter().filter(|pair| pair.next.state.name() != pair.row.state).collect();
    if steps.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("../sql/link_transitions.sql"))
        .bind(context.platform)
        .bind(now)
        .bind(context.run)
        .bind(steps.iter().map(|pair| pair.row.official_account.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|pair| pair.row.mini_program.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|pair| pair.row.state.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|pair| pair.next.state.name()).collect::<Vec<_>>())
        .bind(steps.iter().map(|pair| pair.cause.as_str()).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What a pair's state means for its invitation: outcome (`None`: to be sent), reason, due time.
fn invitation(
    link: &Link,
    unnamed: bool,
    now: DateTime<Utc>,
) -> (Option<&'static str>, Option<&'static str>, Option<DateTime<Utc>>) {
    match link.state {
        // It is there, as whatever: only a reading that does not show it is a reason to message people.
        _ if unnamed => (Some("deferred"), Some("awaiting_reading"), None),
        LinkState::Wanted => (None, None, Some(now)),
        LinkState::Invited | LinkState::WaitingOfficialAccount | LinkState::WaitingMiniProgram | LinkState::Linked => {
            (Some("done"), None, None)
        }
        LinkState::Refused | LinkState::Vanished | LinkState::Stale | LinkState::Blocked | LinkState::Unlinked => {
            (Some("skipped"), Some(link.state.name()), None)
        }
        LinkState::Deferred => (Some("deferred"), Some("quota_month"), link.deferred_until),
    }
}

async fn follow(
    transaction: &mut Transaction,
    context: RecordContext,
    now: DateTime<Utc>,
    moved: &[Moved],
) -> Result<(), StoreError> {
    let wanted: Vec<&Moved> = moved.iter().filter(|pair| pair.row.wanted).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let said: Vec<_> = wanted.iter().map(|pair| invitation(&pair.next, pair.unnamed, now)).collect();
    sqlx::query(include_str!("../sql/invite_items_follow.sql"))
        .bind(context.platform)
        .bind(now)
        .bind(wanted.iter().map(|pair| pair.row.official_account.as_str()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|pair| pair.row.mini_program.as_str()).collect::<Vec<_>>())
        .bind(said.iter().map(|(outcome, _, _)| *outcome).collect::<Vec<_>>())
        .bind(said.iter().map(|(_, reason, _)| *reason).collect::<Vec<_>>())
        .bind(said.iter().map(|(_, _, due_at)| *due_at).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
