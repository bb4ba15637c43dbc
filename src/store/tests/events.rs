use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::{
    domain::{
        Event,
        event::{Authorized, News},
        ports::{Holder, TokenVault as _},
    },
    store::{
        events::{Grant, Granted, PendingEvent, Taken},
        merchants::MerchantRow,
    },
};

const MERCHANT: &str = "wxmerchant0000001";
const LEASE: Duration = Duration::from_secs(60);

/// A platform and nothing else.
async fn empty() -> (TestDatabase, PlatformId) {
    let database = TestDatabase::new().await;
    let platform = database.store.platform("wxcomponent").await.unwrap();
    (database, platform)
}

/// The whole second, so many seconds from now.
fn at(store: &Store, secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(store.now().timestamp() + secs, 0).unwrap()
}

fn event(created_at: DateTime<Utc>, news: News) -> Event {
    Event { component_appid: "wxcomponent".to_owned(), created_at, news }
}

fn authorized(created_at: DateTime<Utc>, update: bool) -> Event {
    let code = SecretString::from(format!("fake-code-{created_at}"));
    let code_expires_at = Some(created_at + TimeDelta::hours(1));
    event(created_at, News::Authorized(Authorized { appid: MERCHANT.to_owned(), update, code, code_expires_at }))
}

fn withdrew(created_at: DateTime<Utc>) -> Event {
    event(created_at, News::Unauthorized { appid: MERCHANT.to_owned() })
}

fn ticket(created_at: DateTime<Utc>, text: &str) -> Event {
    event(created_at, News::Ticket(text.to_owned().into()))
}

fn grant(refresh: &str) -> Grant {
    Grant {
        access_token: Some((format!("access-of-{refresh}").into(), Duration::from_secs(7200))),
        refresh_token: Some(refresh.to_owned().into()),
        permission_sets: Some(vec![33, 49]),
    }
}

async fn take(store: &Store, event: &Event) -> Taken {
    let platform = store.platform("wxcomponent").await.unwrap();
    store.take_event(platform, event, None, true).await.unwrap()
}

async fn claimed(store: &Store, platform: PlatformId) -> PendingEvent {
    let mut events = store.claim_events(platform, 10, LEASE).await.unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

async fn texts(database: &TestDatabase, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&database.pool).await.unwrap()
}

async fn newest_ticket(store: &Store, platform: PlatformId) -> String {
    store.ticket(platform).await.unwrap().unwrap().0.expose_secret().to_owned()
}

/// What is known of the merchant: withdrawn or not, and whether a token of it is kept.
async fn standing(database: &TestDatabase) -> Vec<String> {
    texts(
        database,
        "select concat_ws(' ', case when m.withdrawn_at is null then 'authorized' else 'withdrawn' end,
                          case when c.refresh_sealed is not null then 'refresh' end,
                          case when c.access_sealed is not null then 'access' end)
           from wxpatrol_data.merchant m left join wxpatrol_data.credential c using (platform_id, appid)",
    )
    .await
}

#[tokio::test]
async fn the_newest_ticket_wins_whatever_the_order_of_arrival() {
    let (database, platform) = empty().await;
    let store = &database.store;
    // A bootstrap of unknown age gives way to any push, even to one of the same second.
    assert!(store.keep_ticket(platform, &"bootstrap".into(), true).await.unwrap());
    assert_eq!(take(store, &ticket(at(store, -60), "first")).await, Taken::Kept);
    let second = at(store, -30);
    assert_eq!(take(store, &ticket(second, "second")).await, Taken::Kept);
    assert_eq!(take(store, &ticket(at(store, -45), "late")).await, Taken::ChangesNothing);
    assert_eq!(take(store, &ticket(second, "the same second")).await, Taken::ChangesNothing);
    assert_eq!(newest_ticket(store, platform).await, "second");
    let (_, age) = store.ticket(platform).await.unwrap().unwrap();
    assert!(age >= Duration::from_secs(29), "its age is counted from when it was made: {age:?}");
    // An operator's word counts as made now; a dead ticket is no ticket.
    assert!(store.keep_ticket(platform, &"by hand".into(), false).await.unwrap());
    assert_eq!(take(store, &ticket(at(store, -20), "late")).await, Taken::ChangesNothing);
    assert_eq!(newest_ticket(store, platform).await, "by hand");
    assert_eq!(take(store, &ticket(at(store, 10), "next")).await, Taken::Kept);
    assert_eq!(newest_ticket(store, platform).await, "next");
}

#[tokio::test]
async fn a_ticket_of_twelve_hours_ago_is_dead_and_not_kept() {
    let (database, platform) = empty().await;
    let store = &database.store;
    assert_eq!(take(store, &ticket(at(store, -12 * 3600), "dead")).await, Taken::ChangesNothing);
    assert!(store.ticket(platform).await.unwrap().is_none());
    assert_eq!(take(store, &ticket(at(store, -12 * 3600 + 60), "nearly")).await, Taken::Kept);
}

#[tokio::test]
async fn a_ticket_lets_a_halted_platform_be_probed_at_once() {
    let (database, platform) = empty().await;
    let store = &database.store;
    store.open_breaker(platform, Some(61005), "component ticket is expired", false).await.unwrap();
    assert!(!store.take_probe(platform, false).await.unwrap());
    assert_eq!(take(store, &ticket(at(store, 0), "fresh")).await, Taken::Kept);
    assert!(!store.take_probe(platform, false).await.unwrap(), "nobody is known who could be tried: that is a sync's");
    let row = MerchantRow { appid: MERCHANT.to_owned(), ..MerchantRow::default() };
    store.keep_merchants(platform, &[row], true).await.unwrap();
    assert!(store.take_probe(platform, false).await.unwrap());
    // By an operator's hand as well, and not by what a process began with.
    store.open_breaker(platform, Some(61005), "component ticket is expired", true).await.unwrap();
    assert!(store.keep_ticket(platform, &"by hand".into(), false).await.unwrap());
    assert!(store.take_probe(platform, false).await.unwrap());
}

#[tokio::test]
async fn one_push_is_taken_once_and_a_refused_one_may_come_again() {
    let (database, platform) = empty().await;
    let store = &database.store;
    let event = authorized(at(store, 0), false);
    assert_eq!(store.take_event(platform, &event, Some("mark"), true).await.unwrap(), Taken::Kept);
    assert_eq!(store.take_event(platform, &event, Some("mark"), true).await.unwrap(), Taken::Replayed);
    // The same event under another signature is no replay, and changes nothing.
    assert_eq!(store.take_event(platform, &event, Some("other"), true).await.unwrap(), Taken::ChangesNothing);
    assert_eq!(texts(&database, "select state from wxpatrol_data.authorization_event").await, ["pending"]);
    // Of two that arrive together, one is taken.
    let other = database.another_store().await;
    let next = authorized(at(store, 1), true);
    let (left, right) = tokio::join!(
        store.take_event(platform, &next, Some("raced"), true),
        other.take_event(platform, &next, Some("raced"), true)
    );
    let mut taken = [left.unwrap(), right.unwrap()];
    taken.sort_by_key(|taken| *taken == Taken::Replayed);
    assert_eq!(taken, [Taken::Kept, Taken::Replayed]);
}

#[tokio::test]
async fn events_of_one_merchant_count_in_wechat_s_order() {
    let (database, platform) = empty().await;
    let store = &database.store;
    let came = authorized(at(store, -100), false);
    assert_eq!(take(store, &came).await, Taken::Kept);
    let pending = claimed(store, platform).await;
    let kept = store.keep_grant(platform, &pending, &grant("first"), None).await.unwrap();
    assert_eq!(kept, Granted::Kept);
    store.settle_event(&pending, None).await.unwrap();
    assert_eq!(standing(&database).await, ["authorized refresh access"]);

    // It withdrew before it came (again): late news, which changes nothing.
    assert_eq!(take(store, &withdrew(at(store, -200))).await, Taken::ChangesNothing);
    assert_eq!(standing(&database).await, ["authorized refresh access"]);
    // It withdraws: at once, and its tokens are gone.
    assert_eq!(take(store, &withdrew(at(store, -50))).await, Taken::Kept);
    assert_eq!(standing(&database).await, ["withdrawn"]);
    // Late and repeated news of having come bring nobody back.
    assert_eq!(take(store, &came).await, Taken::ChangesNothing);
    assert_eq!(take(store, &authorized(at(store, -60), true)).await, Taken::ChangesNothing);
    assert_eq!(standing(&database).await, ["withdrawn"]);
    assert!(store.claim_events(platform, 10, LEASE).await.unwrap().is_empty());
    // Newer news do.
    assert_eq!(take(store, &authorized(at(store, -40), false)).await, Taken::Kept);
    assert_eq!(standing(&database).await, ["authorized"]);
    let codes = "select count(*)::text from wxpatrol_data.authorization_event where code_sealed is not null";
    assert_eq!(texts(&database, codes).await, ["1"]);
}

#[tokio::test]
async fn a_stranger_that_withdrew_stays_unknown_and_late_news_of_it_change_nothing() {
    let (database, platform) = empty().await;
    let store = &database.store;
    assert_eq!(take(store, &withdrew(at(store, -10))).await, Taken::Kept);
    assert_eq!(standing(&database).await, Vec::<String>::new());
    assert_eq!(take(store, &authorized(at(store, -20), false)).await, Taken::ChangesNothing);
    assert_eq!(standing(&database).await, Vec::<String>::new());
    assert!(store.claim_events(platform, 10, LEASE).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_event_that_its_worker_left_is_due_again_and_the_late_worker_keeps_nothing() {
    let (database, platform) = empty().await;
    let store = &database.store;
    take(store, &authorized(at(store, 0), false)).await;
    let late = claimed(store, platform).await;
    assert_eq!(late.code.as_ref().unwrap().expose_secret(), format!("fake-code-{}", late.event_at));
    assert!(store.claim_events(platform, 10, LEASE).await.unwrap().is_empty(), "it is leased");
    database.advance(LEASE + Duration::from_secs(1)).await;
    let again = claimed(store, platform).await;
    assert_eq!((again.attempts, again.code_dead), (2, false));
    assert_eq!(store.keep_grant(platform, &late, &grant("late"), None).await.unwrap(), Granted::Overtaken);
    store.settle_event(&late, None).await.unwrap();
    store.put_event_off(&late, Duration::from_secs(3600), "late").await.unwrap();
    assert_eq!(standing(&database).await, ["authorized"]);
    assert_eq!(store.keep_grant(platform, &again, &grant("new"), None).await.unwrap(), Granted::Kept);
    let stored = store.token(platform, &Holder::Merchant(MERCHANT.to_owned())).await.unwrap().unwrap();
    assert_eq!(stored.access_token.expose_secret(), "access-of-new");
}

#[tokio::test]
async fn a_refresher_that_is_under_way_with_the_older_token_stores_nothing_over_a_new_authorization() {
    use crate::domain::ports::{Cause, Ended, NewToken, RefreshClaim, Refreshed};
    let (database, platform) = empty().await;
    let store = &database.store;
    let holder = Holder::Merchant(MERCHANT.to_owned());
    take(store, &authorized(at(store, -10), false)).await;
    let first = claimed(store, platform).await;
    store.keep_grant(platform, &first, &Grant { access_token: None, ..grant("old") }, None).await.unwrap();
    let claim = store.claim_refresh(platform, &holder, None, Cause::Ending, LEASE).await.unwrap();
    let RefreshClaim::Granted(lease) = claim else { panic!("{claim:?}") };
    take(store, &authorized(at(store, 0), true)).await;
    let second = claimed(store, platform).await;
    store.keep_grant(platform, &second, &grant("new"), None).await.unwrap();
    let refreshed = Refreshed::Token(NewToken {
        access_token: "access-of-old".into(),
        expires_in: Duration::from_secs(7200),
        refresh_token: Some("old".into()),
        cause: Cause::Ending,
    });
    let ended = store.end_refresh(platform, &holder, &lease, refreshed).await.unwrap();
    assert!(matches!(ended, Ended::TakenOver), "{ended:?}");
    let stored = store.token(platform, &holder).await.unwrap().unwrap();
    assert_eq!(stored.access_token.expose_secret(), "access-of-new");
}

#[tokio::test]
async fn a_grant_that_comes_after_the_withdrawal_is_not_kept() {
    let (database, platform) = empty().await;
    let store = &database.store;
    take(store, &authorized(at(store, -10), false)).await;
    let pending = claimed(store, platform).await;
    // Without an event: a call was answered that it is not authorized.
    store.withdraw(platform, &[(MERCHANT.to_owned(), store.now())]).await.unwrap();
    assert_eq!(store.keep_grant(platform, &pending, &grant("too late"), None).await.unwrap(), Granted::Withdrawn);
    assert_eq!(standing(&database).await, ["withdrawn"]);
    // With an event: that overtook the one that was worked on.
    take(store, &authorized(at(store, -5), false)).await;
    let pending = claimed(store, platform).await;
    take(store, &withdrew(at(store, 0))).await;
    assert_eq!(store.keep_grant(platform, &pending, &grant("too late"), None).await.unwrap(), Granted::Overtaken);
    assert_eq!(standing(&database).await, ["withdrawn"]);
}

#[tokio::test]
async fn a_grant_without_tokens_leaves_those_that_are_kept() {
    let (database, platform) = empty().await;
    let store = &database.store;
    take(store, &authorized(at(store, -10), false)).await;
    let first = claimed(store, platform).await;
    store.keep_grant(platform, &first, &grant("kept"), None).await.unwrap();
    take(store, &authorized(at(store, 0), true)).await;
    let second = claimed(store, platform).await;
    let bare = Grant { permission_sets: Some(vec![1]), ..Grant::default() };
    assert_eq!(store.keep_grant(platform, &second, &bare, Some("no rights")).await.unwrap(), Granted::Kept);
    assert_eq!(standing(&database).await, ["authorized refresh access"]);
    assert_eq!(texts(&database, "select permission_sets::text from wxpatrol_data.merchant").await, ["{1}"]);
}

#[tokio::test]
async fn tickets_are_asked_for_by_one_of_three_processes_and_once_an_hour() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (database, platform) = empty().await;
    let stores = [database.store.clone(), database.another_store().await, database.another_store().await];
    let asked = async || {
        let asks = stores.iter().map(|store| store.claim_ticket_ask(platform, HOUR));
        futures_util::future::join_all(asks).await.into_iter().filter(|ask| matches!(ask, Ok(Some(_)))).count()
    };
    // There was never a ticket.
    assert_eq!((asked().await, asked().await), (1, 0));
    take(&database.store, &ticket(at(&database.store, 0), "came")).await;
    database.advance(HOUR - Duration::from_secs(5)).await;
    assert_eq!(asked().await, 0);
    database.advance(Duration::from_secs(10)).await;
    assert_eq!((asked().await, asked().await), (1, 0));
    database.advance(HOUR - Duration::from_secs(10)).await;
    assert_eq!(asked().await, 0);
    database.advance(Duration::from_secs(10)).await;
    assert_eq!(asked().await, 1);
}
