use super::*;
use crate::store::{
    StoreError,
    operator::{Grant, HoldTarget, Paused, Unwanted, Wanted},
};

fn pair(account: &str, program: &str) -> (String, String) {
    (account.to_owned(), program.to_owned())
}

fn merchant(appid: &str, check: Option<CheckName>) -> HoldTarget {
    HoldTarget { appid: Some(appid.to_owned()), check, ..HoldTarget::default() }
}

async fn held(database: &TestDatabase) -> Vec<(String, String)> {
    sqlx::query_as("select appid, check_name from wxpatrol_data.item where held order by 1, 2")
        .fetch_all(&database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_pair_that_is_wanted_again_keeps_its_first_time_and_is_planned_anew() {
    let (database, platform) = seeded().await;
    say(&database.pool, "update wish set plan_stale = false, word_given = false, wanted_at = '2026-01-01'").await;
    let pairs = [pair("wxoa", "wxwhat"), pair("wxoa", "wxmini1"), pair("wxoa", "wxwhat")];
    let said = database.store.want(platform, &pairs, "somebody", false).await.unwrap();
    assert_eq!(said, [Wanted::New, Wanted::Again, Wanted::New]);
    let wishes: Vec<(String, bool, bool, bool)> = sqlx::query_as(
        "select mini_program, plan_stale, word_given, wanted_at = '2026-01-01' from wxpatrol_data.wish order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let expected = [("wxmini1", true, true, true), ("wxmini2", false, false, true), ("wxwhat", true, true, false)];
    assert_eq!(wishes, expected.map(|(program, stale, word, old)| (program.to_owned(), stale, word, old)));
}

#[tokio::test]
async fn a_dry_run_of_wishes_changes_nothing() {
    let (database, platform) = seeded().await;
    let store = &database.store;
    let pairs = [pair("wxoa", "wxwhat")];
    assert_eq!(store.want(platform, &pairs, "somebody", true).await.unwrap(), [Wanted::New]);
    assert_eq!(store.want(platform, &pairs, "somebody", true).await.unwrap(), [Wanted::New]);
    let known = [pair("wxoa", "wxmini1")];
    assert_eq!(store.unwant(platform, &known, true).await.unwrap(), [Unwanted::Gone]);
    assert_eq!(store.unwant(platform, &known, false).await.unwrap(), [Unwanted::Gone]);
    assert_eq!(store.unwant(platform, &known, false).await.unwrap(), [Unwanted::NotWanted]);
}

#[tokio::test]
async fn one_unknown_merchant_keeps_the_whole_list_of_wishes_out() {
    let (database, platform) = seeded().await;
    let pairs = [pair("wxoa", "wxwhat"), pair("wxoa", "wxnobody")];
    let refused = database.store.want(platform, &pairs, "somebody", false).await;
    assert!(matches!(refused, Err(StoreError::Data(_))), "{refused:?}");
    assert_eq!(database.store.unwant(platform, &pairs[..1], false).await.unwrap(), [Unwanted::NotWanted]);
}

#[tokio::test]
async fn the_same_hold_twice_is_one_hold_with_the_newer_end() {
    let (database, platform) = seeded().await;
    let store = &database.store;
    say(&database.pool, "delete from hold").await;
    let targets = [merchant("wxmini1", Some(CheckName::Ask)), merchant("wxmini2", None), merchant("wxmini2", None)];
    let paused = store.pause(platform, &targets, Some("why"), None, "me").await.unwrap();
    assert_eq!(paused, Paused { new: 2, renewed: 0 });
    let until = store.now() + chrono::TimeDelta::days(1);
    let paused = store.pause(platform, &targets[..1], None, Some(until), "me").await.unwrap();
    assert_eq!(paused, Paused { new: 0, renewed: 1 });
    let holds = store.holds(platform).await.unwrap();
    assert_eq!(holds.len(), 2);
    assert!(holds.iter().any(|hold| hold.reason == "why" && hold.until.is_some()), "{holds:?}");
}

#[tokio::test]
async fn holds_cover_their_items_until_the_last_of_them_ends() {
    let (database, platform) = seeded().await;
    let store = &database.store;
    let ask = merchant("wxmini1", Some(CheckName::Ask));
    let all = merchant("wxmini1", None);
    store.pause(platform, &[ask.clone(), all.clone()], None, None, "me").await.unwrap();
    assert_eq!(held(&database).await.len(), 3);
    assert_eq!(store.resume(platform, &[all], None, "me").await.unwrap(), 1);
    assert_eq!(held(&database).await, [pair("wxmini1", "ask")]);
    assert_eq!(store.resume(platform, std::slice::from_ref(&ask), None, "me").await.unwrap(), 1);
    assert_eq!(store.resume(platform, &[ask], None, "me").await.unwrap(), 0);
    assert_eq!(held(&database).await, []);
}

#[tokio::test]
async fn a_pause_makes_the_hold_after_a_restore_end_by_nothing_but_an_operators_word() {
    let (database, platform) = seeded().await;
    let store = &database.store;
    sqlx::query("insert into wxpatrol_data.hold (check_name, reason, created_by) values ('ask', $1, 'wxpatrol')")
        .bind(crate::store::identity::HOLD_REASON)
        .execute(&database.pool)
        .await
        .unwrap();
    let ask = HoldTarget { check: Some(CheckName::Ask), ..HoldTarget::default() };
    let until = store.now() + chrono::TimeDelta::hours(2);
    store.pause(platform, std::slice::from_ref(&ask), Some("a moment"), Some(until), "me").await.unwrap();
    let restored = "select count(*) from wxpatrol_data.hold where check_name = 'ask' and until is null and reason like '%restored%'";
    let standing = async || sqlx::query_scalar::<_, i64>(restored).fetch_one(&database.pool).await.unwrap();
    assert_eq!(standing().await, 1);
    store.resume(platform, &[ask], None, "me").await.unwrap();
    assert_eq!(standing().await, 0);
}

#[tokio::test]
async fn another_pair_of_an_account_that_was_resumed_is_not_held_for_being_new() {
    let (database, platform) = seeded().await;
    let store = &database.store;
    let context = RecordContext { platform, run: None, patience: Patience(std::time::Duration::from_secs(60)) };
    let of_new = "select count(*) from wxpatrol_data.hold where appid = 'wxoa' and reason = 'new pair'";
    let held = async || sqlx::query_scalar::<_, i64>(of_new).fetch_one(&database.pool).await.unwrap();
    say(&database.pool, "delete from hold; delete from item where appid = 'wxoa'; delete from wish where mini_program = 'wxmini2'; update wish set plan_stale = true").await;
    store.plan(context, true).await.unwrap();
    assert_eq!(held().await, 1);
    say(&database.pool, "delete from hold; insert into wish (official_account, mini_program) values ('wxoa', 'wxmini2'); update wish set plan_stale = true, word_given = true").await;
    store.plan(context, true).await.unwrap();
    assert_eq!(held().await, 0);
}

#[tokio::test]
async fn one_more_ask_wakes_only_an_ask_that_slept_at_its_maximum() {
    let (database, platform) = seeded().await;
    say(&database.pool, "insert into phone values (1, 'wxwhat', 'bound', clock(), clock())").await;
    let granted = async |appids: &[&str]| {
        let appids: Vec<String> = appids.iter().map(|appid| (*appid).to_owned()).collect();
        database.store.grant_ask(platform, &appids).await.unwrap()
    };
    let (woken, asleep) = (Grant::Granted { woken: true }, Grant::Granted { woken: false });
    let mixed = granted(&["wxmini1", "wxwhat", "wxgone", "wxoa", "wxnobody"]).await;
    assert_eq!(mixed, [woken, Grant::NotMissing, Grant::Withdrawn, Grant::NoMiniProgram, Grant::Unknown]);
    let untouched = "select count(*) from wxpatrol_data.phone where asks_granted > 0";
    let untouched: i64 = sqlx::query_scalar(untouched).fetch_one(&database.pool).await.unwrap();
    assert_eq!(untouched, 0, "a list of which one can get none grants none");
    assert_eq!(granted(&["wxmini1", "wxmini2", "wxmini1"]).await, [woken, asleep, woken]);
    let (granted, due): (i32, bool) = sqlx::query_as(
        "select p.asks_granted, i.due_at <= clock_timestamp() from wxpatrol_data.phone p
           join wxpatrol_data.item i using (platform_id, appid) where appid = 'wxmini1' and check_name = 'ask'",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!((granted, due), (1, true));
}

#[tokio::test]
async fn what_is_said_about_holds_is_kept_whoever_says_it() {
    let (database, platform) = seeded().await;
    let store = &database.store;
    say(&database.pool, "delete from hold; truncate hold_event").await;
    let ask = HoldTarget { check: Some(CheckName::Ask), ..HoldTarget::default() };
    let until = store.now() + chrono::TimeDelta::days(1);
    store.pause(platform, std::slice::from_ref(&ask), Some("why"), None, "me").await.unwrap();
    store.pause(platform, std::slice::from_ref(&ask), None, Some(until), "you").await.unwrap();
    store.pause(platform, std::slice::from_ref(&ask), None, Some(until), "again the same").await.unwrap();
    store.resume(platform, std::slice::from_ref(&ask), Some("enough"), "she").await.unwrap();
    store.resume(platform, &[ask], Some("nothing is held"), "she").await.unwrap();
    say(
        &database.pool,
        "insert into hold (schedule, reason) values ('sync', 'plain');
         delete from hold;
         insert into hold (endpoint, reason, until) values ('wxamplink', 'plain', clock() - interval '1 s')",
    )
    .await;
    sqlx::query("delete from wxpatrol_data.hold where until <= wxpatrol_data.clock()")
        .execute(&database.pool)
        .await
        .unwrap();
    let events: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', event, check_name, endpoint, schedule, note,
                          'by ' || case when event <> 'ended' and said_by = session_user then 'plain SQL' else said_by end)
           from wxpatrol_data.hold_event order by hold_event_id",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let expected = [
        "paused ask why by me",
        "renewed ask why by you",
        "resumed ask enough by she",
        "paused sync plain by plain SQL",
        "resumed sync  by plain SQL",
        "paused wxamplink plain by plain SQL",
        "ended wxamplink  by wxpatrol",
    ];
    assert_eq!(events, expected);
}
