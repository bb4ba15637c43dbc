//! `merchant` and `forget`: everything that is known of one merchant, and the end of its names.

use serde_json::Value;
use wxpatrol::{
    domain::CheckName,
    simulate::{Endpoint, Oddity, Plan, Rule},
};

use crate::world::{Ended, World, pair, plan};

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.everything()))
}

/// A patrolled platform in which the first mini program has a bit of everything.
async fn eventful() -> (World, String) {
    let world = World::wanting(Plan { phone_missing_share: 1.0, ..plan(6, 2) }, &[(0, 0), (1, 0)]).await;
    let appid = Plan::mini_program(0);
    world.once().await.assert_complete();
    world.wechat.change_callback(&appid).unwrap();
    world.wechat.script(Rule::new(Oddity::Errcode(61007)).of(&appid).on(Endpoint::Checkmobile)).unwrap();
    world.database.advance(std::time::Duration::from_secs(25 * 3600)).await;
    world.once_of(&[CheckName::Phone, CheckName::Callback]).await.assert_complete();
    let paused = world.program(&["pause", "--merchant", &appid, "--check", "callback", "--note", "on its wish"]).await;
    assert_eq!(paused.code, Some(0), "{}", paused.everything());
    assert_eq!(world.program(&["pause", "--check", "ask", "--note", "a campaign"]).await.code, Some(0));
    (world, appid)
}

#[tokio::test]
async fn a_merchant_shows_its_items_with_the_runbook_and_everything_else_that_is_known() {
    let (world, appid) = eventful().await;
    let shown = world.program(&["merchant", &appid, "--json"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.everything());
    let shown = json(&shown);
    let rows = |name: &str| shown[name].as_array().unwrap_or_else(|| panic!("{name} is missing: {shown}")).clone();
    assert_eq!(rows("merchants").len(), 1);
    assert_eq!(rows("merchants")[0]["phone"], "missing");
    let phone = rows("items").into_iter().find(|item| item["check_name"] == "phone").unwrap();
    assert_eq!((&phone["outcome"], &phone["reason"]), (&"skipped".into(), &"permission".into()));
    assert!(phone["errcode"] == 61007 && phone["due_at"].is_string(), "{phone}");
    for column in ["meaning_zh", "meaning_en", "what_zh", "what_en", "actor", "recorded_at", "rid"] {
        assert!(phone[column].as_str().is_some_and(|text| !text.is_empty()), "{column}: {phone}");
    }
    let callback = rows("items").into_iter().find(|item| item["check_name"] == "callback").unwrap();
    assert_eq!((&callback["outcome"], &callback["held"]), (&"done".into(), &true.into()));
    assert!(callback["due_at"].is_string(), "{callback}");
    // Invitations to it are items of the official accounts.
    assert_eq!(rows("items").iter().filter(|item| item["check_name"] == "invite").count(), 2);
    assert_eq!(rows("links").len(), 2);
    assert_eq!(rows("callback_current").len(), 1);
    assert!(!rows("callback_changes").is_empty());
    let purposes: Vec<_> = rows("intents").iter().map(|intent| intent["purpose"].clone()).collect();
    assert_eq!(purposes.iter().filter(|purpose| *purpose == "invite").count(), 2, "{purposes:?}");
    assert!(purposes.contains(&"ask".into()), "{purposes:?}");
    let notes: Vec<_> = rows("holds").iter().map(|hold| hold["note"].clone()).collect();
    assert!(notes.contains(&"on its wish".into()) && notes.contains(&"a campaign".into()), "{notes:?}");
    assert!(rows("attention").iter().any(|row| row["why"] == "permission"), "{shown}");
    assert!(rows("failures").iter().any(|row| row["errcode"] == 61007), "{shown}");
    // For people too, and of an official account the invitations that it sends.
    let (account, _) = pair(0, 0);
    for (appid, words) in
        [(&appid, &["61007", "on its wish", "missing"][..]), (&account, &["official_account", "invite"])]
    {
        let shown = world.program(&["merchant", appid]).await;
        assert_eq!(shown.code, Some(0), "{}", shown.everything());
        for word in words {
            assert!(shown.stdout.contains(word), "{word} is not in {}", shown.stdout);
        }
    }
    let stranger = world.program(&["merchant", "wx1a000000000000ff"]).await;
    assert_eq!(stranger.code, Some(2), "{}", stranger.everything());
    assert!(stranger.stderr.contains("wx1a000000000000ff is no known merchant"), "{}", stranger.stderr);
}

#[tokio::test]
async fn a_merchant_of_two_platforms_is_shown_of_both_or_of_the_one_that_is_named() {
    let world = World::twins(plan(2, 1)).await;
    let appid = Plan::mini_program(0);
    let platforms = async |arguments: &[&str]| {
        let shown = world.program(&[&["merchant", &appid, "--json"], arguments].concat()).await;
        assert_eq!(shown.code, Some(0), "{}", shown.everything());
        json(&shown)["merchants"].as_array().unwrap().len()
    };
    assert_eq!(platforms(&[]).await, 2);
    assert_eq!(platforms(&["--platform", &world.others[0].plan().component_appid]).await, 1);
}

#[tokio::test]
async fn a_merchant_that_withdrew_is_forgotten_by_name_and_its_intents_stay() {
    let (world, appid) = eventful().await;
    let names = format!(
        "select coalesce(nickname, '') || coalesce(principal, '') from wxpatrol_data.merchant where appid = '{appid}'"
    );
    let name = world.texts(&names).await.remove(0);
    assert!(!name.is_empty());
    let of = |table: &str| format!("select count(*) from wxpatrol_data.{table} where appid = '{appid}'");
    let (intents, items) = (world.count(&of("intent")).await, world.count(&of("item")).await);
    assert!(intents > 0 && world.count(&of("failure")).await > 0);
    // Nothing is asked, and one that is still authorized is left alone.
    let refused = world.program(&["forget", &appid]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains(&format!("{appid} still is authorized")), "{}", refused.stderr);
    assert_eq!(world.texts(&names).await, [name.as_str()]);
    assert!(world.count(&of("failure")).await > 0);
    let store = &world.database.store;
    let withdrawn = store.withdraw(world.platform().await, &[(appid.clone(), store.now())]).await;
    withdrawn.unwrap();
    for _ in 0..2 {
        let forgotten = world.program(&["forget", &appid]).await;
        assert_eq!(forgotten.code, Some(0), "{}", forgotten.everything());
        assert!(forgotten.stderr.contains(&format!("{intents} intents stay")), "{}", forgotten.stderr);
    }
    assert_eq!(world.texts(&names).await, [""]);
    assert_eq!(world.count(&of("failure")).await, 0);
    assert_eq!((world.count(&of("intent")).await, world.count(&of("item")).await), (intents, items));
    let shown = world.program(&["merchant", &appid]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.everything());
    // What is forgotten of one merchant stays known of the others, and a stranger is refused.
    assert!(world.count("select count(*) from wxpatrol_data.merchant where nickname is not null").await >= 7);
    let stranger = world.program(&["forget", "wx1a000000000000ff"]).await;
    assert_eq!(stranger.code, Some(2), "{}", stranger.everything());
}
