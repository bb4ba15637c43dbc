//! Lost refresh tokens: who reads the list for all, how often, and which reading proves a loss.

use super::*;
use crate::store::recovery::{Elsewhere, Reading};

async fn lose(database: &TestDatabase) {
    say(&database.pool, "update credential set lost_reason = 'refused', lost_at = clock() where appid = 'wxmini1'")
        .await;
}

const APART: Duration = Duration::from_secs(600);

async fn take(store: &Store) -> Result<Reading, Elsewhere> {
    store.take_recovery(1, APART, Duration::from_secs(30)).await.unwrap()
}

#[tokio::test]
async fn one_process_reads_the_list_for_all_and_nobody_without_a_loss() {
    let (database, _) = seeded().await;
    let (store, other) = (&database.store, database.another_store().await);
    lose(&database).await;
    let reading = take(store).await.unwrap();
    assert_eq!(take(&other).await, Err(Elsewhere::UnderWay));
    database.advance(Duration::from_secs(20)).await;
    store.prolong_recovery(reading, Some(Duration::from_secs(30))).await.unwrap();
    database.advance(Duration::from_secs(20)).await;
    assert_eq!(take(&other).await, Err(Elsewhere::UnderWay), "it was prolonged");
    store.note_complete_reading(1, store.read_clock().await.unwrap()).await.unwrap();
    store.prolong_recovery(reading, None).await.unwrap();
    assert_eq!(take(&other).await, Err(Elsewhere::Rests(None)));
    lose(&database).await;
    let Err(Elsewhere::Rests(Some(wait))) = take(&other).await else { panic!("a loss since then waits for its time") };
    assert!(wait > APART / 2, "{wait:?}");
    database.advance(APART).await;
    let reading = take(&other).await.unwrap();
    other.note_complete_reading(1, other.read_clock().await.unwrap()).await.unwrap();
    other.prolong_recovery(reading, None).await.unwrap();
    database.advance(2 * APART).await;
    assert_eq!(take(store).await, Err(Elsewhere::Rests(None)), "nothing was lost since");
    database.advance(20 * HOUR).await;
    assert!(take(store).await.is_ok(), "once a day who was lost before may have authorized anew");
}

#[tokio::test]
async fn who_died_while_it_read_the_list_is_followed_and_its_late_word_ends_nothing() {
    let (database, _) = seeded().await;
    let (store, other) = (&database.store, database.another_store().await);
    lose(&database).await;
    let dead = take(store).await.unwrap();
    database.advance(Duration::from_secs(31)).await;
    let reading = take(&other).await.unwrap();
    store.prolong_recovery(dead, None).await.unwrap();
    assert_eq!(take(store).await, Err(Elsewhere::UnderWay));
    other.note_complete_reading(1, other.read_clock().await.unwrap()).await.unwrap();
    other.prolong_recovery(reading, None).await.unwrap();
    assert_eq!(take(store).await, Err(Elsewhere::Rests(None)));
}

#[tokio::test]
async fn a_reading_that_began_before_a_loss_or_came_to_no_end_proves_nothing() {
    let (database, _) = seeded().await;
    let store = &database.store;
    let holder = Holder::Merchant("wxmini1".to_owned());
    let claim = async || store.claim_refresh(1, &holder, None, Cause::Ending, HOUR).await.unwrap();
    say(&database.pool, "update credential set access_sealed = null, access_expires_at = null where appid = 'wxmini1'")
        .await;
    let began_before = store.read_clock().await.unwrap();
    lose(&database).await;
    assert!(matches!(claim().await, RefreshClaim::Recovering(_)), "nobody has read the list");
    let failed = take(store).await.unwrap();
    store.prolong_recovery(failed, None).await.unwrap();
    assert!(matches!(claim().await, RefreshClaim::Recovering(_)), "the reading failed");
    assert!(matches!(take(store).await, Err(Elsewhere::Failed(wait)) if wait > APART / 2), "and not at once again");
    store.note_complete_reading(1, began_before).await.unwrap();
    assert!(matches!(claim().await, RefreshClaim::Recovering(_)), "it began before the loss");
    store.note_complete_reading(1, store.read_clock().await.unwrap()).await.unwrap();
    assert!(matches!(claim().await, RefreshClaim::Lost(_)));
    assert_eq!(attention(store, "token_lost").await.len(), 1);
}

#[tokio::test]
async fn a_long_reading_and_a_merchant_that_is_refused_again_and_again_have_the_list_read_less_often() {
    let (database, _) = seeded().await;
    let store = &database.store;
    lose(&database).await;
    let long = store.take_recovery(1, APART, HOUR).await.unwrap().unwrap();
    database.advance(HOUR / 2).await;
    store.prolong_recovery(long, None).await.unwrap();
    let waits = |elsewhere| match elsewhere {
        Elsewhere::Failed(wait) | Elsewhere::Rests(Some(wait)) => wait,
        elsewhere => panic!("{elsewhere:?}"),
    };
    assert!(waits(take(store).await.unwrap_err()) > HOUR, "three times as long as it took");
    database.advance(2 * HOUR).await;
    let short = take(store).await.unwrap();
    store.prolong_recovery(short, None).await.unwrap();
    assert!(waits(take(store).await.unwrap_err()) <= APART);
    say(&database.pool, "update credential set losses = 4 where appid = 'wxmini1'").await;
    assert!(waits(take(store).await.unwrap_err()) > HOUR / 2, "its fourth loss in a row");
}

#[tokio::test]
async fn a_loss_recorded_after_the_token_came_back_is_woken() {
    let (database, _) = seeded().await;
    let store = &database.store;
    say(&database.pool, "update merchant set plan_stale = false").await;
    say(
        &database.pool,
        "update item set outcome = 'skipped', reason = 'token_lost', recorded_at = clock() where check_name = 'phone';
         update credential set lost_reason = 'refused', lost_at = clock()",
    )
    .await;
    assert_eq!(store.wake_recovered(1).await.unwrap(), 0);
    say(&database.pool, "update credential set lost_reason = null, refresh_sealed = 'x'").await;
    assert_eq!(store.wake_recovered(1).await.unwrap(), 1);
    let context = RecordContext { platform: 1, run: None, patience: Patience(HOUR) };
    store.plan(context, false).await.unwrap();
    assert_eq!(store.wake_recovered(1).await.unwrap(), 0);
}
