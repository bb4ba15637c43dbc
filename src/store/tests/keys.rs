//! Replacing the key that seals: every column, under everything that can happen meanwhile.

use std::{collections::BTreeSet, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::{
    domain::event::{Authorized, Event, News},
    domain::ports::{Cause, Ended, Holder, NewToken, RefreshClaim, RefreshLease, Refreshed, TokenVault as _},
    store::{
        ANSWER_MAX, Sealer, SealingKey, StoreError, StoreSettings,
        keys::KeyChange,
        merchants::MerchantRow,
        platforms::PlatformChange,
        rotation::{Pass, SEALED},
        seal::KeyId,
    },
};

/// The key of the tests' own stores.
const OLD: u8 = 7;
const NEW: u8 = 8;
const LEASE: Duration = Duration::from_secs(60);

fn key(byte: u8) -> SealingKey {
    SealingKey::new(Box::new([byte; 32]))
}

fn id(byte: u8) -> KeyId {
    Sealer::new(&key(byte)).configured()
}

/// A process that was given these keys, the configured one first.
async fn process(database: &TestDatabase, keys: &[u8]) -> Store {
    let others: Vec<SealingKey> = keys[1..].iter().copied().map(key).collect();
    let settings = StoreSettings { connections_max: 4, lease: LEASE, answer_max: ANSWER_MAX, purpose: "run" };
    let sealer = Sealer::with_others(&key(keys[0]), &others);
    Store::connect(&database.url(), &settings, Some(sealer)).await.unwrap()
}

fn merchant(appid: &str) -> Holder {
    Holder::Merchant(appid.to_owned())
}

fn text(secret: &SecretString) -> &str {
    secret.expose_secret()
}

/// Refreshes a holder's token, as the wire does.
async fn refresh(store: &Store, platform: PlatformId, holder: &Holder, token: &str) {
    let claim = store.claim_refresh(platform, holder, None, Cause::Ending, LEASE).await.unwrap();
    let seen = match claim {
        RefreshClaim::Newer(token) => Some(token.version),
        RefreshClaim::Granted(lease) => return granted(store, platform, holder, &lease, token).await,
        other => panic!("{other:?}"),
    };
    let RefreshClaim::Granted(lease) =
        store.claim_refresh(platform, holder, seen, Cause::Refused, LEASE).await.unwrap()
    else {
        panic!("nobody else refreshes")
    };
    granted(store, platform, holder, &lease, token).await;
}

async fn granted(store: &Store, platform: PlatformId, holder: &Holder, lease: &RefreshLease, token: &str) {
    let how = Refreshed::Token(NewToken {
        access_token: SecretString::from(token),
        expires_in: Duration::from_secs(7200),
        refresh_token: None,
        cause: Cause::Ending,
    });
    assert!(matches!(store.end_refresh(platform, holder, lease, how).await.unwrap(), Ended::Stored(_)));
}

/// A platform in which every sealed column holds values, sealed with the old key.
async fn sealed(database: &TestDatabase, merchants: usize) -> PlatformId {
    let store = &database.store;
    store.check_sealing_key().await.unwrap();
    let platform = store.platform("wxcomponent").await.unwrap();
    store.keep_ticket(platform, &SecretString::from("fake ticket"), false).await.unwrap();
    let change = PlatformChange {
        secret: Some("fake secret".into()),
        event_token: Some("fake event token".into()),
        event_key: Some("fake event key".into()),
        ..PlatformChange::default()
    };
    store.keep_platform("wxcomponent", &change).await.unwrap();
    let rows: Vec<MerchantRow> = (0..merchants)
        .map(|number| MerchantRow {
            appid: format!("wxm{number:04}"),
            refresh_token: Some(SecretString::from(format!("fake refresh {number}"))),
            ..MerchantRow::default()
        })
        .collect();
    store.keep_merchants(platform, &rows, true).await.unwrap();
    let authorized =
        Authorized { appid: "wxnew".to_owned(), update: false, code: "fake code".into(), code_expires_at: None };
    let event = Event {
        component_appid: "wxcomponent".to_owned(),
        created_at: store.now(),
        news: News::Authorized(authorized),
    };
    store.take_event(platform, &event, None, true).await.unwrap();
    refresh(store, platform, &Holder::Component, "fake component token").await;
    refresh(store, platform, &merchant("wxm0000"), "fake access").await;
    platform
}

async fn reseal_all(store: &Store) -> Vec<Pass> {
    let mut passes = Vec::new();
    for column in SEALED {
        passes.push(store.reseal(column, || false).await.unwrap());
    }
    passes
}

async fn keys_of_values(store: &Store) -> BTreeSet<Option<KeyId>> {
    store.sealed_counts().await.unwrap().into_iter().map(|count| count.key).collect()
}

#[tokio::test]
async fn the_list_of_sealed_columns_is_the_one_of_the_schema() {
    let database = TestDatabase::new().await;
    let columns: Vec<String> = sqlx::query_scalar(
        "select c.relname || '.' || a.attname
           from pg_attribute a
           join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
          where c.relnamespace = 'wxpatrol_data'::regnamespace
            and a.attname ~ '_sealed$'
            and not a.attisdropped
          order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let mut listed: Vec<&str> = SEALED.iter().map(|column| column.name).collect();
    listed.sort_unstable();
    assert_eq!(listed, columns);
    // What is sealed and not called so would be in no list.
    let others: Vec<String> = sqlx::query_scalar(
        "select c.relname || '.' || a.attname
           from pg_attribute a
           join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
          where c.relnamespace = 'wxpatrol_data'::regnamespace
            and a.atttypid = 'bytea'::regtype
            and a.attname !~ '_sealed$'
          order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(others, ["_migration.checksum", "callback_snapshot.digest", "sealing_key.canary"]);
}

#[tokio::test]
async fn every_sealed_column_opens_with_the_new_key_alone_after_a_change() {
    let database = TestDatabase::new().await;
    let platform = sealed(&database, 3).await;
    let store = process(&database, &[NEW, OLD]).await;
    assert_eq!(store.check_sealing_key().await.unwrap(), id(OLD), "the old key stays in use until it is changed");
    refresh(&store, platform, &merchant("wxm0002"), "sealed with the key in use").await;
    assert_eq!(keys_of_values(&store).await, BTreeSet::from([Some(id(OLD))]));

    assert!(matches!(store.put_key_in_use().await.unwrap(), KeyChange::Changed));
    let passes = reseal_all(&store).await;
    for (column, pass) in SEALED.iter().zip(&passes) {
        assert!(pass.resealed > 0, "no value of {} was there to be sealed anew: {pass:?}", column.name);
        assert_eq!((pass.unreadable, pass.overtaken), (0, 0), "{}", column.name);
    }
    assert_eq!(keys_of_values(&store).await, BTreeSet::from([Some(id(NEW))]));
    let counted: BTreeSet<String> =
        store.sealed_counts().await.unwrap().into_iter().map(|count| count.column).collect();
    assert!(SEALED.iter().all(|column| counted.contains(column.name)), "{counted:?}");

    let new = process(&database, &[NEW]).await;
    assert_eq!(new.check_sealing_key().await.unwrap(), id(NEW));
    let (ticket, _) = new.ticket(platform).await.unwrap().unwrap();
    assert_eq!(text(&ticket), "fake ticket");
    let component = new.token(platform, &Holder::Component).await.unwrap().unwrap();
    assert_eq!(text(&component.access_token), "fake component token");
    let access = new.token(platform, &merchant("wxm0000")).await.unwrap().unwrap();
    assert_eq!(text(&access.access_token), "fake access");
    let RefreshClaim::Granted(lease) =
        new.claim_refresh(platform, &merchant("wxm0001"), None, Cause::Ending, LEASE).await.unwrap()
    else {
        panic!("there is no token yet")
    };
    assert_eq!(text(&lease.refresh_token.unwrap()), "fake refresh 1");

    let refusal = process(&database, &[OLD]).await.check_sealing_key().await.unwrap_err().to_string();
    assert!(refusal.contains("is not the key that this database was sealed with"), "{refusal}");
    assert!(refusal.contains(&id(NEW).to_string()), "{refusal}");
}

#[tokio::test]
async fn what_a_refresh_stores_while_a_batch_is_sealed_anew_wins() {
    let database = TestDatabase::new().await;
    let platform = sealed(&database, 3).await;
    let store = process(&database, &[NEW, OLD]).await;
    store.check_sealing_key().await.unwrap();
    store.put_key_in_use().await.unwrap();
    let column = SEALED[1];
    let batch = store.sealed_batch(column, &(0, String::new())).await.unwrap();
    assert_eq!(batch.len(), 2, "the platform's own token and a merchant's");
    refresh(&database.store, platform, &merchant("wxm0000"), "a newer token").await;

    let (swapped, unreadable) = store.swap_sealed(column, &batch).await.unwrap();
    assert_eq!((swapped, unreadable), (1, 0));
    let token = store.token(platform, &merchant("wxm0000")).await.unwrap().unwrap();
    assert_eq!(text(&token.access_token), "a newer token");
    assert_eq!(store.reseal(column, || false).await.unwrap(), Pass { resealed: 1, ..Pass::default() });
}

#[tokio::test]
async fn an_interrupted_change_goes_on_where_it_stopped_and_repeating_it_does_nothing() {
    let database = TestDatabase::new().await;
    sealed(&database, 1_203).await;
    let store = process(&database, &[NEW, OLD]).await;
    store.check_sealing_key().await.unwrap();
    store.put_key_in_use().await.unwrap();
    let column = SEALED[2];
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let after_one_batch = || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0;
    assert_eq!(store.reseal(column, after_one_batch).await.unwrap(), Pass { resealed: 500, ..Pass::default() });

    let next = process(&database, &[NEW, OLD]).await;
    next.check_sealing_key().await.unwrap();
    assert!(matches!(next.put_key_in_use().await.unwrap(), KeyChange::None));
    assert_eq!(next.reseal(column, || false).await.unwrap(), Pass { resealed: 703, ..Pass::default() });
    assert_eq!(next.reseal(column, || false).await.unwrap(), Pass::default());
}

#[tokio::test]
async fn a_value_of_a_lost_key_stays_as_it_is_and_is_counted() {
    let database = TestDatabase::new().await;
    sealed(&database, 3).await;
    say(&database.pool, "update credential set refresh_sealed = '\\x0102030405' where appid = 'wxm0001'").await;
    let store = process(&database, &[NEW, OLD]).await;
    store.check_sealing_key().await.unwrap();
    store.put_key_in_use().await.unwrap();
    let pass = store.reseal(SEALED[2], || false).await.unwrap();
    assert_eq!(pass, Pass { resealed: 2, unreadable: 1, overtaken: 0 });
    let counts = store.sealed_counts().await.unwrap();
    let lost = counts.iter().find(|count| count.column == SEALED[2].name && count.key != Some(id(NEW)));
    assert_eq!(lost.map(|lost| (lost.count, lost.key.unwrap().to_string())), Some((1, "01020304".to_owned())));
}

#[tokio::test]
async fn a_live_process_without_the_new_key_keeps_it_from_being_used() {
    let database = TestDatabase::new().await;
    sealed(&database, 1).await;
    let store = process(&database, &[NEW, OLD]).await;
    store.check_sealing_key().await.unwrap();
    let refused = async || match store.put_key_in_use().await.unwrap() {
        KeyChange::Refused(holders) => holders.len(),
        KeyChange::None | KeyChange::Changed => 0,
    };
    database.store.beat(None).await.unwrap();
    // A program that is older than the columns says nothing of its keys.
    say(
        &database.pool,
        "insert into process (process_id, started_at, beat_at, version, purpose)
         values ('00000000-0000-0000-0000-00000000000d', clock(), clock(), '0.1.0', 'run')",
    )
    .await;
    assert_eq!(refused().await, 2);
    say(&database.pool, "delete from process where version = '0.1.0' and key_ids is null").await;
    assert_eq!(refused().await, 1);
    assert_eq!(database.store.check_sealing_key().await.unwrap(), id(OLD), "nothing was changed");
    database.advance(Duration::from_secs(31)).await;
    assert_eq!(refused().await, 0, "the dead have no say");
    assert_eq!(store.check_sealing_key().await.unwrap(), id(NEW));
}

#[tokio::test]
async fn a_beat_takes_up_the_key_that_another_process_put_in_use() {
    let database = TestDatabase::new().await;
    let platform = sealed(&database, 1).await;
    let (worker, other) = (process(&database, &[NEW, OLD]).await, process(&database, &[NEW, OLD]).await);
    for store in [&worker, &other] {
        store.check_sealing_key().await.unwrap();
    }
    worker.beat(None).await.unwrap();
    assert!(matches!(other.put_key_in_use().await.unwrap(), KeyChange::Changed));
    assert!(!worker.key_holders().await.unwrap()[0].seals_with(id(NEW)));
    worker.beat(None).await.unwrap();
    assert!(worker.key_holders().await.unwrap()[0].seals_with(id(NEW)), "the beat that learns of it says so");
    worker.keep_ticket(platform, &SecretString::from("another ticket"), false).await.unwrap();
    let new = process(&database, &[NEW]).await;
    assert_eq!(text(&new.ticket(platform).await.unwrap().unwrap().0), "another ticket");
}

#[tokio::test]
async fn of_two_first_processes_with_different_keys_one_is_refused() {
    let database = TestDatabase::new().await;
    let (one, other) = (process(&database, &[OLD]).await, process(&database, &[NEW]).await);
    let (one, other) = tokio::join!(one.check_sealing_key(), other.check_sealing_key());
    assert_eq!([&one, &other].iter().filter(|checked| checked.is_ok()).count(), 1, "{one:?}, {other:?}");
    let refusal = one.and(other).unwrap_err().to_string();
    assert!(refusal.contains("WXPATROL_ENCRYPTION_KEY is not the key"), "{refusal}");
}

#[tokio::test]
async fn a_process_that_begins_while_the_key_changes_sees_the_new_one() {
    let database = TestDatabase::new().await;
    sealed(&database, 1).await;
    let mut changing = database.pool.begin().await.unwrap();
    let canary: Vec<u8> = sqlx::query_scalar("select canary from wxpatrol_data.sealing_key for update")
        .fetch_one(&mut *changing)
        .await
        .unwrap();
    let beginning = process(&database, &[OLD]).await;
    let checked = tokio::spawn(async move { beginning.check_sealing_key().await });
    let waits = async || {
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity
                             where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&database.pool)
        .await
        .unwrap();
        waits
    };
    while !waits().await {
        assert!(!checked.is_finished(), "it waits for the change to end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut foreign = canary;
    foreign[..4].copy_from_slice(id(NEW).bytes());
    sqlx::query("update wxpatrol_data.sealing_key set canary = $1")
        .bind(foreign)
        .execute(&mut *changing)
        .await
        .unwrap();
    changing.commit().await.unwrap();
    assert!(matches!(checked.await.unwrap(), Err(StoreError::Inconsistent(_))));
}
