//! Several platforms in one database: what each is given, and that no row of one shows in another.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Executor as _;

use super::*;
use crate::{
    domain::{Endpoint, ports::TokenVault as _},
    store::{
        claim::ClaimWish,
        merchants::MerchantRow,
        platforms::{PlatformChange, PlatformKept, PlatformRow},
        views::{ViewRows, ViewWish},
    },
};

const FIRST: &str = "wxcomponent";
const SECOND: &str = "wxsecond";

/// The rows of the seed once more, for a second platform whose merchants have the same appids.
fn seed_of_the_second() -> &'static str {
    let wishes = "into wish (official_account, mini_program) values ('wxoa', 'wxmini1'), ('wxoa', 'wxmini2')";
    let named =
        "into wish (platform_id, official_account, mini_program) values (2, 'wxoa', 'wxmini1'), (2, 'wxoa', 'wxmini2')";
    assert!(SEED.contains(wishes));
    let seed = SEED
        .replace(wishes, named)
        .replace("(1, '", "(2, '")
        .replace("00a', 1, 'phone'", "00b', 2, 'phone'")
        .replace("00a'", "00b'")
        .replace("where appid = 'wxgone'", "where platform_id = 2 and appid = 'wxgone'")
        .replace(FIRST, SECOND)
        .replace("小店", "another shop");
    Box::leak(seed.into_boxed_str())
}

async fn two() -> TestDatabase {
    let (database, _) = seeded().await;
    say(&database.pool, seed_of_the_second()).await;
    database
}

fn secret(text: &str) -> Option<SecretString> {
    Some(SecretString::from(text.to_owned()))
}

async fn row(store: &Store, appid: &str) -> PlatformRow {
    store.platforms().await.unwrap().into_iter().find(|row| row.component_appid == appid).unwrap()
}

#[tokio::test]
async fn no_row_of_one_platform_shows_in_another_though_their_merchants_have_the_same_appids() {
    let (database, _) = seeded().await;
    let mut alone: Vec<(String, ViewRows)> = Vec::new();
    let views = database.store.views().await.unwrap();
    let read = async |name: &str, platform| {
        database.store.read_view_of(name, platform, ViewWish::default()).await.unwrap().unwrap()
    };
    for view in &views {
        // Ages are others with each look.
        if !["ages", "platforms"].contains(&view.name.as_str()) {
            alone.push((view.name.clone(), read(&view.name, None).await));
        }
    }
    say(&database.pool, seed_of_the_second()).await;
    let mut told_apart = 0;
    for (name, before) in alone {
        let (whole, first) = (read(&name, None).await, read(&name, Some(FIRST)).await);
        assert_eq!(first, before, "{name}");
        if whole.columns.iter().any(|column| column.name == "platform") {
            told_apart += 1;
            assert_eq!(whole.rows.len(), 2 * before.rows.len(), "{name}");
            let second = read(&name, Some(SECOND)).await;
            assert!(second.rows.iter().all(|row| row.first().unwrap().as_deref() == Some(SECOND)), "{name}");
            assert!(!format!("{second:?}").contains("小店"), "{name}");
        }
    }
    assert_eq!(told_apart, 19);
}

#[tokio::test]
async fn a_platform_is_added_changed_by_what_is_given_and_the_same_again_changes_nothing() {
    let database = TestDatabase::new().await;
    let store = &database.store;
    let change = PlatformChange {
        nickname: Some("the shop".to_owned()),
        secret: secret("fake-secret"),
        ticket: secret("fake-ticket"),
        event_token: secret("faketoken"),
        event_key: secret("fakekey"),
        schedules: Some(Some(vec!["phone".to_owned()])),
        limits: vec![
            (Endpoint::CheckMobile, false, Some("50/s".to_owned())),
            (Endpoint::WxampLink, true, Some("unlimited".to_owned())),
        ],
    };
    let (id, kept) = store.keep_platform(FIRST, &change).await.unwrap();
    assert_eq!(kept, PlatformKept::Added);
    let first = row(store, FIRST).await;
    assert_eq!(first.limits, ["checkmobile=50/s", "wxamplink_merchant=unlimited"]);
    assert_eq!((first.schedules.as_deref(), first.enabled), (Some(&["phone".to_owned()][..]), true));
    assert_eq!(store.platform_secret(&first).unwrap().unwrap().expose_secret(), "fake-secret");
    let events = store.event_secrets(id).await.unwrap();
    let exposed = |text: Option<SecretString>| text.map(|text| text.expose_secret().to_owned());
    assert_eq!(exposed(events.token).as_deref(), Some("faketoken"));
    assert_eq!(exposed(events.encoding_aes_key).as_deref(), Some("fakekey"));
    assert_eq!(store.ticket(id).await.unwrap().unwrap().0.expose_secret(), "fake-ticket");

    database.advance(std::time::Duration::from_secs(600)).await;
    assert_eq!(store.keep_platform(FIRST, &change).await.unwrap(), (id, PlatformKept::Same));
    assert_eq!(row(store, FIRST).await, first);
    assert!(
        store.ticket(id).await.unwrap().unwrap().1.as_secs() >= 600,
        "an old ticket is not young by being repeated"
    );

    let less = PlatformChange {
        nickname: Some(String::new()),
        schedules: Some(None),
        limits: vec![(Endpoint::CheckMobile, false, None)],
        ..PlatformChange::default()
    };
    assert_eq!(store.keep_platform(FIRST, &less).await.unwrap(), (id, PlatformKept::Changed));
    let changed = row(store, FIRST).await;
    assert_eq!((changed.nickname.clone(), changed.schedules.clone()), (None, None));
    assert_eq!(changed.limits, ["wxamplink_merchant=unlimited"]);
    assert!(changed.secret_stored() && !changed.patrolled_as(&first));
    assert!(!format!("{changed:?}").contains("fake"), "{changed:?}");
}

#[tokio::test]
async fn a_secret_opens_for_its_own_platform_only() {
    let database = TestDatabase::new().await;
    let store = &database.store;
    for (appid, text) in [(FIRST, "fake-first"), (SECOND, "fake-second")] {
        store
            .keep_platform(appid, &PlatformChange { secret: secret(text), ..PlatformChange::default() })
            .await
            .unwrap();
    }
    let swap = "update platform set secret_sealed = (select secret_sealed from platform where component_appid = 'wxcomponent')";
    say(&database.pool, swap).await;
    let open = async |appid| store.platform_secret(&row(store, appid).await);
    assert_eq!(open(FIRST).await.unwrap().unwrap().expose_secret(), "fake-first");
    let error = open(SECOND).await.unwrap_err().to_string();
    assert!(error.contains("damaged") && !error.contains("fake"), "{error}");
}

#[tokio::test]
async fn a_row_written_by_hand_names_its_platform_where_several_are_enabled() {
    let database = two().await;
    let wish = "insert into wish (official_account, mini_program) values ('wxoa', 'wxmini1') on conflict do nothing";
    let hold = "insert into hold (check_name) values ('ask')";
    for statement in [wish, hold] {
        let error = database.store.pool.execute(statement).await.expect_err(statement);
        assert!(error.to_string().contains("name platform_id"), "{error}");
    }
    let named = "insert into hold (platform_id, check_name) values (2, 'ask')";
    database.store.pool.execute(named).await.unwrap();
    say(&database.pool, "update platform set enabled = false where platform_id = 1").await;
    database.store.pool.execute(hold).await.unwrap();
    let ask = async |platform| {
        let holds = database.store.holds(platform).await.unwrap();
        holds.iter().filter(|hold| hold.check_name.as_deref() == Some("ask")).count()
    };
    assert_eq!((ask(1).await, ask(2).await), (0, 2));
}

#[tokio::test]
async fn what_a_platform_lacks_stands_in_attention_and_nothing_of_one_that_is_disabled() {
    let database = two().await;
    let store = &database.store;
    let whys = async |platform| {
        let view = store.read_view_of("attention", Some(platform), ViewWish::default()).await.unwrap().unwrap();
        let place = view.columns.iter().position(|column| column.name == "why").unwrap();
        view.rows.into_iter().filter_map(|mut row| row[place].take()).collect::<Vec<_>>()
    };
    assert!(whys(SECOND).await.contains(&"secret_missing".to_owned()));
    store.platform(SECOND).await.unwrap();
    assert!(!whys(SECOND).await.contains(&"secret_missing".to_owned()), "an environment names it");
    database.advance(std::time::Duration::from_secs(86_401)).await;
    assert!(whys(SECOND).await.contains(&"secret_missing".to_owned()), "no environment names it any more");
    let given = PlatformChange { secret: secret("fake"), ..PlatformChange::default() };
    store.keep_platform(SECOND, &given).await.unwrap();
    say(&database.pool, "update platform set ticket_sealed = null, ticket_at = null where platform_id = 2").await;
    let second = whys(SECOND).await;
    assert!(
        second.contains(&"ticket_missing".to_owned()) && !second.contains(&"secret_missing".to_owned()),
        "{second:?}"
    );
    assert!(store.enable_platform(2, false).await.unwrap());
    assert!(!store.enable_platform(2, false).await.unwrap());
    assert_eq!(whys(SECOND).await, Vec::<String>::new());
    assert!(!whys(FIRST).await.is_empty());
}

#[tokio::test]
async fn a_process_gives_back_the_leases_of_one_platform_and_keeps_those_of_another() {
    let database = two().await;
    let claim = async |platform| {
        let wish = ClaimWish { platform, ..claim_of(CheckName::Phone, 10) };
        database.store.claim(wish).await.unwrap().len()
    };
    assert_eq!((claim(1).await, claim(2).await), (1, 1));
    assert_eq!(database.store.return_leases(1).await.unwrap(), 1);
    assert_eq!((claim(1).await, claim(2).await), (1, 0));
}

#[tokio::test]
async fn the_platforms_that_know_every_merchant_of_a_list_are_found() {
    let database = two().await;
    let store = &database.store;
    let alone = MerchantRow { appid: "wxalone".to_owned(), ..MerchantRow::default() };
    store.keep_merchants(2, &[alone], false).await.unwrap();
    let knowing = async |appids: &[&str]| {
        let appids: Vec<String> = appids.iter().map(|appid| (*appid).to_owned()).collect();
        store.platforms_knowing(&appids).await.unwrap()
    };
    assert_eq!(knowing(&["wxmini1", "wxoa", "wxmini1"]).await, [1, 2]);
    assert_eq!(knowing(&["wxmini1", "wxalone"]).await, [2]);
    assert_eq!(knowing(&["wxmini1", "wxstranger"]).await, Vec::<i32>::new());
}
