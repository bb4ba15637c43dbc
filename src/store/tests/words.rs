//! What WeChat was asked before a merchant's authorization changed, and answered after: it counts for nothing.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::{
    domain::{
        Class, Event, Kind, Outcome, Settled,
        event::{Authorized, News},
        outcome::CallRecord,
    },
    store::{merchant_list::Given, merchants::MerchantRow},
};

const MERCHANT: &str = "wxmerchant0000001";

/// A mini program that is known, planned and served, with its refresh token.
async fn served() -> TestDatabase {
    let database = TestDatabase::new().await;
    let store = &database.store;
    let platform = store.platform("wxcomponent").await.unwrap();
    let row = MerchantRow { kind: Some(Kind::MiniProgram), ..named(store.now() - TimeDelta::minutes(5), "first") };
    store.keep_merchants(platform, &[row], true).await.unwrap();
    plan(store).await;
    database
}

async fn plan(store: &Store) {
    let context = RecordContext { platform: 1, run: None, patience: Patience(Duration::from_secs(60)) };
    store.plan(context, false).await.unwrap();
}

/// How a page of the list names the merchant.
fn named(asked_at: DateTime<Utc>, token: &str) -> MerchantRow {
    MerchantRow {
        appid: MERCHANT.to_owned(),
        refresh_token: Some(token.to_owned().into()),
        asked_at: Some(asked_at),
        ..MerchantRow::default()
    }
}

/// What WeChat says about the merchant.
fn info(asked_at: DateTime<Utc>, sets: &[i32]) -> MerchantRow {
    MerchantRow {
        appid: MERCHANT.to_owned(),
        kind: Some(Kind::MiniProgram),
        permission_sets: Some(sets.to_vec()),
        asked_at: Some(asked_at),
        ..MerchantRow::default()
    }
}

async fn take(store: &Store, news: News) {
    let created_at = DateTime::from_timestamp(store.now().timestamp(), 0).unwrap();
    let event = Event { component_appid: "wxcomponent".to_owned(), created_at, news };
    store.take_event(1, &event, None, true).await.unwrap();
}

async fn authorizes(store: &Store) {
    let code = "fake-code".to_owned().into();
    take(store, News::Authorized(Authorized { appid: MERCHANT.to_owned(), update: true, code, code_expires_at: None }))
        .await;
}

async fn text(database: &TestDatabase, statement: &'static str) -> String {
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&database.pool).await.unwrap()
}

/// Whether the merchant counts as authorized, and whether a refresh token of it is kept.
async fn standing(database: &TestDatabase) -> String {
    text(
        database,
        "select case when m.withdrawn_at is null then 'authorized' else 'withdrawn' end
                || case when c.refresh_sealed is null then '' else ' with its token' end
           from wxpatrol_data.merchant m left join wxpatrol_data.credential c using (platform_id, appid)",
    )
    .await
}

/// A call that was answered that the merchant is not authorized.
fn refused(store: &Store, claim: &crate::store::claim::Claim, asked_at: DateTime<Utc>) -> Settled {
    Settled {
        key: claim.key.clone(),
        fence: claim.fence,
        outcome: Outcome::Skipped { due_at: None, reason: "withdrawn".to_owned() },
        call: Some(CallRecord {
            class: Class::Withdrawn,
            errcode: Some(61003),
            rid: None,
            asked_at,
            latency: Duration::ZERO,
            detail: None,
            closes_until: None,
        }),
        finding: None,
        intent: None,
        free_at: Some(store.now()),
    }
}

#[tokio::test]
async fn a_refusal_that_was_asked_for_before_an_authorization_takes_nothing_from_it_and_is_tried_again() {
    let database = served().await;
    let store = &database.store;
    let context = RecordContext { platform: 1, run: None, patience: Patience(Duration::from_secs(60)) };
    let claim = store.claim(claim_of(CheckName::Phone, 1)).await.unwrap().remove(0);
    let asked_at = store.read_clock().await.unwrap();
    authorizes(store).await;
    assert_eq!(store.record(context, &[refused(store, &claim, asked_at)]).await.unwrap().written, [true]);
    assert_eq!(standing(&database).await, "authorized with its token");
    plan(store).await;
    let claim = store.claim(claim_of(CheckName::Phone, 1)).await.unwrap().remove(0);
    let asked_at = store.read_clock().await.unwrap();
    store.record(context, &[refused(store, &claim, asked_at)]).await.unwrap();
    assert_eq!(standing(&database).await, "withdrawn", "it was asked after the authorization");
}

#[tokio::test]
async fn an_info_that_was_asked_for_before_an_authorization_is_not_kept_over_what_that_brought() {
    let database = served().await;
    let store = &database.store;
    let asked_at = store.read_clock().await.unwrap();
    authorizes(store).await;
    store.keep_info(1, &[info(store.read_clock().await.unwrap(), &[33, 49])], Given::default()).await.unwrap();
    store.keep_info(1, &[info(asked_at, &[33])], Given::default()).await.unwrap();
    let sets = "select permission_sets::text from wxpatrol_data.merchant";
    assert_eq!(text(&database, sets).await, "{33,49}");
    store.withdraw(1, &[(MERCHANT.to_owned(), asked_at)]).await.unwrap();
    assert_eq!(standing(&database).await, "authorized with its token");
    let silent = MerchantRow { permission_sets: None, ..info(store.read_clock().await.unwrap(), &[]) };
    store.keep_info(1, &[silent], Given::default()).await.unwrap();
    assert_eq!(text(&database, sets).await, "{33,49}", "an info that tells no permission sets takes none away");
}

#[tokio::test]
async fn a_page_that_was_asked_for_before_a_withdrawal_brings_back_neither_the_merchant_nor_its_token() {
    let database = served().await;
    let store = &database.store;
    let asked_at = store.read_clock().await.unwrap();
    take(store, News::Unauthorized { appid: MERCHANT.to_owned() }).await;
    store.keep_merchants(1, &[named(asked_at, "old")], true).await.unwrap();
    store.keep_refresh_tokens(1, &[named(asked_at, "old")]).await.unwrap();
    assert_eq!(standing(&database).await, "withdrawn");
    let later = store.read_clock().await.unwrap();
    store.keep_merchants(1, &[named(later, "new")], true).await.unwrap();
    assert_eq!(standing(&database).await, "authorized with its token");
}

#[tokio::test]
async fn who_authorized_within_the_hour_is_not_missed_in_a_list_that_lags_behind() {
    let database = served().await;
    let store = &database.store;
    authorizes(store).await;
    for _ in 0..3 {
        let began_at = store.read_clock().await.unwrap();
        assert_eq!(store.book_absences(1, began_at).await.unwrap().absent, 0);
    }
    database.advance(Duration::from_secs(2 * 3600)).await;
    for absent in [0, 1] {
        let began_at = store.read_clock().await.unwrap();
        assert_eq!(store.book_absences(1, began_at).await.unwrap().withdrawn, absent);
    }
}
