//! The vault: one refresher, what its answers may overwrite, what is remembered of refusals, and who reads the list.

mod recovery;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{
    domain::ports::{Cause, Ended, Holder, NewToken, RefreshClaim, RefreshLease, Refreshed, TokenVault},
    store::{merchants::MerchantRow, views::ViewWish},
};

const LEASE: Duration = Duration::from_secs(15);
const HOUR: Duration = Duration::from_secs(3600);

fn merchant() -> Holder {
    Holder::Merchant("wxmini2".to_owned())
}

async fn keep(store: &Store, token: &str, read_at: Option<chrono::DateTime<chrono::Utc>>) {
    let row = MerchantRow {
        appid: "wxmini2".to_owned(),
        refresh_token: Some(SecretString::from(token.to_owned())),
        asked_at: read_at,
        ..MerchantRow::default()
    };
    store.keep_merchants(1, &[row], true).await.unwrap();
}

async fn claim(store: &Store, holder: &Holder, seen: Option<i64>, cause: Cause) -> RefreshClaim {
    store.claim_refresh(1, holder, seen, cause, LEASE).await.unwrap()
}

async fn granted(store: &Store, holder: &Holder, seen: Option<i64>, cause: Cause) -> RefreshLease {
    match claim(store, holder, seen, cause).await {
        RefreshClaim::Granted(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn token(refresh_token: Option<&str>, cause: Cause) -> Refreshed {
    Refreshed::Token(NewToken {
        access_token: SecretString::from("fake-access"),
        expires_in: Duration::from_secs(7200),
        refresh_token: refresh_token.map(|token| SecretString::from(token.to_owned())),
        cause,
    })
}

fn shown(lease: &RefreshLease) -> &str {
    lease.refresh_token.as_ref().map_or("", ExposeSecret::expose_secret)
}

#[tokio::test]
async fn of_many_that_want_to_refresh_one_holder_one_may() {
    let (database, _) = seeded().await;
    keep(&database.store, "fake-refresh", None).await;
    let others = [database.another_store().await, database.another_store().await];
    for holder in [merchant(), Holder::Component] {
        let claims =
            futures_util::future::join_all((0..12).map(|n| {
                claim(if n % 3 == 0 { &database.store } else { &others[n % 2] }, &holder, None, Cause::Ending)
            }))
            .await;
        let granted = claims.iter().filter(|claim| matches!(claim, RefreshClaim::Granted(_))).count();
        let elsewhere = claims.iter().filter(|claim| matches!(claim, RefreshClaim::Elsewhere)).count();
        assert_eq!((granted, elsewhere), (1, 11), "{claims:?}");
    }
    // Who died under its lease is followed when that is over.
    database.advance(LEASE + Duration::from_secs(1)).await;
    granted(&others[0], &merchant(), None, Cause::Ending).await;
}

#[tokio::test]
async fn a_late_refresher_stores_nothing() {
    let (database, _) = seeded().await;
    let store = &database.store;
    keep(store, "fake-refresh", None).await;
    let late = granted(store, &merchant(), None, Cause::Ending).await;
    database.advance(LEASE + Duration::from_secs(1)).await;
    let next = granted(store, &merchant(), None, Cause::Ending).await;
    for how in [
        token(Some("fake-late"), Cause::Ending),
        Refreshed::Lost { reason: "late".to_owned() },
        Refreshed::Failed { reason: "late".to_owned(), errcode: None, cool_min: HOUR },
        Refreshed::Back,
    ] {
        let ended = store.end_refresh(1, &merchant(), &late, how).await.unwrap();
        assert!(matches!(ended, Ended::TakenOver), "{ended:?}");
    }
    let ended = store.end_refresh(1, &merchant(), &next, token(None, Cause::Ending)).await.unwrap();
    assert!(matches!(ended, Ended::Stored(_)), "{ended:?}");
    assert!(matches!(claim(store, &merchant(), None, Cause::Ending).await, RefreshClaim::Newer(_)));
}

#[tokio::test]
async fn that_a_component_token_is_dead_is_said_no_more_when_another_is_stored() {
    let (database, _) = seeded().await;
    let store = &database.store;
    let mut seen = None;
    for _ in 0..2 {
        let lease = granted(store, &Holder::Component, seen, Cause::Ending).await;
        let ended = store.end_refresh(1, &Holder::Component, &lease, token(None, Cause::Ending)).await.unwrap();
        let Ended::Stored(stored) = ended else { panic!("{ended:?}") };
        assert_eq!(store.dead(1).await.unwrap(), None);
        store.note_dead(1, stored.version).await.unwrap();
        assert_eq!(store.dead(1).await.unwrap(), Some(stored.version));
        seen = Some(stored.version);
    }
}

#[tokio::test]
async fn a_changed_refresh_token_is_kept_and_an_empty_or_equal_one_writes_nothing() {
    let (database, _) = seeded().await;
    let store = &database.store;
    keep(store, "fake-first", None).await;
    for (comes, kept, version) in [
        (None, "fake-first", 1),
        (Some(""), "fake-first", 1),
        (Some("fake-first"), "fake-first", 1),
        (Some("fake-second"), "fake-second", 2),
        (None, "fake-second", 2),
    ] {
        let lease = granted(store, &merchant(), None, Cause::Ending).await;
        store.end_refresh(1, &merchant(), &lease, token(comes, Cause::Ending)).await.unwrap();
        database.advance(3 * HOUR).await;
        let lease = granted(store, &merchant(), None, Cause::Ending).await;
        assert_eq!((shown(&lease), lease.refresh_version), (kept, version), "{comes:?}");
        store.end_refresh(1, &merchant(), &lease, Refreshed::Back).await.unwrap();
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_learnt_while_an_older_one_was_in_use_stays() {
    let (database, _) = seeded().await;
    let store = &database.store;
    keep(store, "fake-old", None).await;
    for how in [token(Some("fake-answer"), Cause::Ending), Refreshed::Lost { reason: "refused".to_owned() }] {
        let lease = granted(store, &merchant(), None, Cause::Ending).await;
        keep(store, "fake-learnt", None).await;
        keep(store, "fake-newest", None).await;
        let lost = matches!(how, Refreshed::Lost { .. });
        let ended = store.end_refresh(1, &merchant(), &lease, how).await.unwrap();
        assert_eq!(matches!(ended, Ended::Replaced), lost, "{ended:?}");
        database.advance(3 * HOUR).await;
        assert_eq!(shown(&granted(store, &merchant(), None, Cause::Ending).await), "fake-newest");
        database.advance(HOUR).await;
    }
}

#[tokio::test]
async fn a_refresh_token_read_before_the_stored_one_was_learnt_is_not_kept_unless_that_is_lost() {
    let (database, _) = seeded().await;
    let store = &database.store;
    let before = store.read_clock().await.unwrap();
    database.advance(HOUR).await;
    keep(store, "fake-newer", None).await;
    keep(store, "fake-older", Some(before)).await;
    let lease = granted(store, &merchant(), None, Cause::Ending).await;
    assert_eq!(shown(&lease), "fake-newer");
    store.end_refresh(1, &merchant(), &lease, Refreshed::Lost { reason: "refused".to_owned() }).await.unwrap();
    assert!(matches!(claim(store, &merchant(), None, Cause::Ending).await, RefreshClaim::Recovering(_)));
    keep(store, "fake-older", Some(before)).await;
    assert_eq!(shown(&granted(store, &merchant(), None, Cause::Ending).await), "fake-older");
}

#[tokio::test]
async fn a_failed_refresh_cools_down_longer_each_time_and_says_why() {
    let (database, _) = seeded().await;
    let store = &database.store;
    keep(store, "fake-refresh", None).await;
    let mut waits = Vec::new();
    for _ in 0..8 {
        let lease = granted(store, &merchant(), None, Cause::Ending).await;
        let failed = Refreshed::Failed { reason: "no answer".to_owned(), errcode: None, cool_min: Duration::ZERO };
        store.end_refresh(1, &merchant(), &lease, failed).await.unwrap();
        let RefreshClaim::CoolingDown { reason, errcode, wait } = claim(store, &merchant(), None, Cause::Ending).await
        else {
            panic!("it does not cool down")
        };
        assert_eq!((reason.as_str(), errcode), ("no answer", None));
        waits.push(wait.as_secs_f64());
        database.advance(wait + Duration::from_secs(1)).await;
    }
    // What passed between the failure and the question is missing.
    for (wait, whole) in waits.into_iter().zip([5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]) {
        assert!(wait <= whole && (wait > whole / 2.0 || whole < 20.0), "{wait} of {whole}");
    }
    let lease = granted(store, &merchant(), None, Cause::Ending).await;
    let refused = Refreshed::Failed { reason: "frozen".to_owned(), errcode: Some(50002), cool_min: HOUR };
    store.end_refresh(1, &merchant(), &lease, refused).await.unwrap();
    let cools = claim(store, &merchant(), None, Cause::Ending).await;
    assert!(
        matches!(&cools, RefreshClaim::CoolingDown { errcode: Some(50002), wait, .. } if *wait > HOUR / 2),
        "{cools:?}"
    );
    // Another refresh token ends it.
    keep(store, "fake-another", None).await;
    granted(store, &merchant(), None, Cause::Ending).await;
}

#[tokio::test]
async fn refusals_have_the_platform_s_token_bought_half_a_minute_apart_and_its_age_at_any_time() {
    let (database, _) = seeded().await;
    let store = &database.store;
    let buy = async |seen, cause| {
        let lease = granted(store, &Holder::Component, seen, cause).await;
        match store.end_refresh(1, &Holder::Component, &lease, token(None, cause)).await.unwrap() {
            Ended::Stored(token) => Some(token.version),
            other => panic!("{other:?}"),
        }
    };
    let first = buy(None, Cause::Ending).await;
    let second = buy(first, Cause::Refused).await;
    let again = claim(&database.another_store().await, &Holder::Component, second, Cause::Refused).await;
    assert!(matches!(&again, RefreshClaim::TooSoon { wait } if wait.as_secs() > 20), "{again:?}");
    let old = claim(store, &Holder::Component, first, Cause::Refused).await;
    assert!(matches!(old, RefreshClaim::Newer(_)), "{old:?}");
    let third = buy(second, Cause::Ending).await;
    database.advance(Duration::from_secs(31)).await;
    buy(third, Cause::Refused).await;
}

#[tokio::test]
async fn merchants_are_odd_for_a_day_however_many_they_are() {
    let (database, _) = seeded().await;
    let store = &database.store;
    assert!(!store.odd(1, "wxodd").await.unwrap());
    assert_eq!(store.book_odd(1, "wxodd").await.unwrap(), 1);
    assert_eq!(store.book_odd(1, "wxodd").await.unwrap(), 1);
    assert!(store.odd(1, "wxodd").await.unwrap() && !store.odd(1, "wxmini2").await.unwrap());
    database.advance(Duration::from_secs(700)).await;
    assert_eq!(store.book_odd(1, "wxodder").await.unwrap(), 1, "the first is long ago");
    for n in 0..30 {
        assert_eq!(store.book_odd(1, &format!("wxodd{n}")).await.unwrap(), n + 2);
    }
    assert!(store.odd(1, "wxodd").await.unwrap() && store.odd(1, "wxodd29").await.unwrap());
    database.advance(24 * HOUR).await;
    assert!(!store.odd(1, "wxodd18").await.unwrap());
    database.advance(48 * HOUR).await;
    store.book_odd(1, "wxodd").await.unwrap();
    let kept: i64 = sqlx::query_scalar("select count(*) from wxpatrol_data.component_refusal")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

async fn attention(store: &Store, why: &str) -> Vec<(String, String)> {
    let wish = ViewWish { equal: Some(("why", why)), ..ViewWish::default() };
    let rows = store.read_view("attention", wish).await.unwrap().unwrap();
    let place = |name: &str| rows.columns.iter().position(|column| column.name == name).unwrap();
    let cell = |row: &[Option<String>], name: &str| row[place(name)].clone().unwrap_or_default();
    rows.rows.iter().for_each(|row| assert!(!cell(row, "what_zh").is_empty() && !cell(row, "what_en").is_empty()));
    rows.rows.iter().map(|row| (cell(row, "subject"), cell(row, "detail"))).collect()
}

#[tokio::test]
async fn a_token_that_was_taken_away_is_counted_once_and_forgotten_in_time() {
    let (database, _) = seeded().await;
    let store = &database.store;
    keep(store, "fake-refresh", None).await;
    for version in [1, 1, 2, 1] {
        store.book_contested(1, "wxmini2", version).await.unwrap();
    }
    let told = attention(store, "token_contested").await;
    assert!(told.len() == 1 && told[0].0 == "wxmini2" && told[0].1.starts_with("seen 2 times"), "{told:?}");
    database.advance(8 * 24 * HOUR).await;
    assert_eq!(attention(store, "token_contested").await, []);
    store.book_contested(1, "wxmini2", 3).await.unwrap();
    assert!(attention(store, "token_contested").await[0].1.starts_with("seen 3 times"));
    database.advance(31 * 24 * HOUR).await;
    store.book_contested(1, "wxmini2", 4).await.unwrap();
    assert!(attention(store, "token_contested").await[0].1.starts_with("seen 1 times"));
}

#[tokio::test]
async fn a_trouble_of_a_hundred_merchants_is_told_of_each_and_of_more_in_one_row() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "insert into merchant (platform_id, appid, kind) select 1, 'wxm' || n, 'mini_program' from generate_series(1, 100) n;
         insert into credential (platform_id, appid, contested_since, contested_at, contested_count)
         select 1, 'wxm' || n, clock(), clock(), 1 from generate_series(1, 100) n;
         insert into item (platform_id, appid, check_name, counterpart, due_at, due_since, outcome, reason, recorded_at)
         select 1, 'wxm' || n, c, '', clock(), clock(), 'deferred', 'external_token_dead', clock()
           from generate_series(1, 100) n, unnest('{phone,callback}'::text[]) c",
    )
    .await;
    for why in ["token_contested", "external_token_dead"] {
        assert_eq!(attention(&database.store, why).await.len(), 100, "{why}");
    }
    say(
        &database.pool,
        "insert into credential (platform_id, appid, contested_since, contested_at, contested_count)
         values (1, 'wxmini2', clock(), clock(), 1);
         insert into item (platform_id, appid, check_name, counterpart, due_at, due_since, outcome, reason, recorded_at)
         values (1, 'wxmini2', 'callback', '', clock(), clock(), 'deferred', 'external_token_dead', clock())",
    )
    .await;
    for why in ["token_contested", "external_token_dead"] {
        let told = attention(&database.store, why).await;
        assert!(told.len() == 1 && told[0].0.is_empty() && told[0].1.starts_with("101 merchants"), "{told:?}");
    }
}

#[tokio::test]
async fn a_silent_source_of_tokens_is_one_trouble_of_the_platform() {
    let (database, _) = seeded().await;
    say(
        &database.pool,
        "update item set outcome = 'deferred', reason = 'token_source_silent', recorded_at = clock()
          where check_name in ('phone', 'callback')",
    )
    .await;
    let told = attention(&database.store, "token_source_silent").await;
    assert_eq!(told.len(), 1);
    assert!(told[0].0.is_empty() && told[0].1.starts_with("2 merchants wait"), "{told:?}");
}
