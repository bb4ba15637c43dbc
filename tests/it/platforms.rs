//! Several platforms in one installation: each with its own credentials, merchants, limits, breaker and coverage, though
//! their merchants have the same appids; one that can not work stops no other.

mod added;
mod unattended;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use wxpatrol::{
    domain::CheckName,
    patrol::Until,
    simulate::{self, Endpoint, Oddity, Plan, Rule},
    store::runs::RunState,
};

use crate::world::{Ended, World, free_address, pair, plan, until, wish};

const PHONE: &[&str] = &["--once", "--check", "phone"];

/// What a command printed as JSON.
fn json(ended: &Ended) -> Vec<Value> {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.everything()))
}

fn appid(platform: &simulate::World) -> &str {
    &platform.plan().component_appid
}

impl World {
    /// The second platform.
    fn second(&self) -> &simulate::World {
        &self.others[0]
    }

    /// Whether a platform's items and results fit what its own WeChat answered, merchant by merchant.
    async fn assert_phones_of_its_own(&self, platform: &simulate::World) {
        let rows = self
            .texts(&format!(
                "select f.appid || ' ' || f.state from wxpatrol_data.phone f
                   join wxpatrol_data.platform p using (platform_id) where p.component_appid = '{}' order by 1",
                appid(platform)
            ))
            .await;
        let mut told: Vec<String> = platform
            .merchants()
            .into_iter()
            .filter(|merchant| merchant.kind == simulate::Kind::MiniProgram)
            .map(|merchant| format!("{} {}", merchant.appid, if merchant.phone_bound { "bound" } else { "missing" }))
            .collect();
        told.sort();
        assert_eq!(rows, told);
    }
}

/// Schedules that never tick in a test but for those named.
fn ticking(world: World, on: &[&str]) -> World {
    ["PHONE", "ASK", "CALLBACK", "LINKS", "INVITE", "SYNC"].iter().fold(world, |world, name| {
        world.with(&format!("WXPATROL_SCHEDULE_{name}"), if on.contains(name) { "* * * * * *" } else { "off" })
    })
}

/// The world with a port for its status server, and the port's address.
fn with_status(world: World) -> (World, String) {
    let address = free_address();
    (world.with("WXPATROL_STATUS_ADDR", &address), address)
}

#[tokio::test]
async fn one_run_by_hand_covers_both_platforms_and_each_adds_up_to_its_own_merchants() {
    let world = World::twins(plan(20, 2)).await;
    world.second().withdraw(&Plan::mini_program(7)).unwrap();
    let ended = world.program(&["--once", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let rows = json(&ended);
    let shown: Vec<(&str, &str)> =
        rows.iter().map(|row| (row["platform"].as_str().unwrap(), row["check_name"].as_str().unwrap())).collect();
    let checks = ["phone", "ask", "callback", "links", "invite"];
    let expected: Vec<(&str, &str)> = [appid(&world.wechat), appid(world.second())]
        .into_iter()
        .flat_map(|platform| checks.map(|check| (platform, check)))
        .collect();
    assert_eq!(shown, expected);
    assert!(rows.iter().all(|row| row["adds_up"] == true), "{rows:?}");
    let done = |row: &Value| (row["total"].as_i64().unwrap(), row["done"].as_i64().unwrap());
    // A merchant that withdraws in mid-run is skipped, on the platform that it withdrew from.
    assert_eq!((done(&rows[0]), done(&rows[5])), ((20, 20), (20, 19)));
    assert_eq!(world.count("select count(*) from wxpatrol_data.run where state = 'complete'").await, 2);
    world.assert_phones_of_its_own(&world.wechat).await;
    world.second().authorize(&Plan::mini_program(7)).unwrap();
    let again = world.program(&["sync", "--platform", appid(world.second())]).await;
    assert_eq!(again.code, Some(0), "{}", again.everything());
    let ended = world.program(PHONE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    // For people each platform has a statement of its own.
    for platform in [&world.wechat, &world.others[0]] {
        assert!(ended.stdout.contains(&format!("of the platform {}", appid(platform))), "{}", ended.stdout);
    }
    world.assert_phones_of_its_own(world.second()).await;
    let [first, second] = [&world.wechat, &world.others[0]]
        .map(|platform| platform.merchants().iter().map(|merchant| merchant.phone_bound).collect::<Vec<_>>());
    assert_ne!(first, second, "the two must differ, or nothing was shown");
}

#[tokio::test]
async fn a_platform_whose_ticket_died_is_halted_while_the_other_completes_and_both_add_up() {
    let world = World::twins(plan(30, 1)).await;
    world.second().expire_all_tokens();
    world.second().script(Rule::new(Oddity::Errcode(61005)).on(Endpoint::ApiComponentToken)).unwrap();
    let ended = world.program(&["--once", "--json"]).await;
    assert_eq!(ended.code, Some(3), "{}", ended.everything());
    assert!(ended.stderr.contains(&format!("{}: halted: ", appid(world.second()))), "{}", ended.stderr);
    let rows = json(&ended);
    assert_eq!(rows.len(), 10, "{rows:?}");
    assert!(rows.iter().all(|row| row["adds_up"] == true), "{rows:?}");
    let phone = |platform: &simulate::World| {
        rows.iter().find(|row| row["platform"] == appid(platform) && row["check_name"] == "phone").unwrap()
    };
    assert_eq!(phone(&world.wechat)["done"], 30);
    assert_eq!((&phone(world.second())["deferred"], &phone(world.second())["total"]), (&30.into(), &30.into()));
    let states = "select p.component_appid || ' ' || r.state from wxpatrol_data.run r
                    join wxpatrol_data.platform p using (platform_id) order by 1";
    let (first, second) = (appid(&world.wechat), appid(world.second()));
    assert_eq!(world.texts(states).await, [format!("{first} complete"), format!("{second} halted")]);
    let halted = "select component_appid from wxpatrol_data.platform where halted_at is not null";
    assert_eq!(world.texts(halted).await, [second]);
    assert_eq!(world.second().arrived(Endpoint::Checkmobile), 0);

    let alone = world.program(&["--once", "--platform", second]).await;
    assert_eq!(alone.code, Some(3), "{}", alone.everything());
    world.second().clear_script();
    let mended = world.program(PHONE).await;
    assert_eq!(mended.code, Some(0), "{}", mended.everything());
    world.assert_phones_of_its_own(world.second()).await;
}

#[tokio::test]
async fn each_platform_keeps_a_limit_of_its_own_while_the_other_uses_another() {
    let world = World::twins(plan(90, 1)).await.with("WXPATROL_LIMIT_CHECKMOBILE", "40/s");
    let second = appid(world.second()).to_owned();
    let given = world.program(&["platform", "add", &second, "--limit", "checkmobile=20/s"]).await;
    assert_eq!(given.code, Some(0), "{}", given.everything());
    let ended = world.program(PHONE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    for (platform, limit) in [(&world.wechat, 40), (&world.others[0], 20)] {
        assert_eq!(platform.arrived(Endpoint::Checkmobile), 90);
        let worst = platform.worst_window(Endpoint::Checkmobile, Duration::from_secs(1));
        // On a machine that has no time for us calls clump on their way; the other's limit would show all the same.
        assert!(worst <= limit + limit / 2, "{worst} calls in one second of {limit}");
    }
    let slots = "select count(distinct platform_id) from wxpatrol_data.pace where endpoint = 'checkmobile'";
    assert_eq!(world.count(slots).await, 2);
}

#[tokio::test]
async fn a_platform_whose_calls_hang_delays_no_other() {
    let world = World::twins(plan(6, 1)).await.with("WXPATROL_CALLS_MAX", "2");
    world.wechat.reset_counts();
    world.wechat.script(Rule::new(Oddity::Hang).on(Endpoint::Checkmobile)).unwrap();
    let app = world.app().await;
    let mut work = Vec::new();
    for member in app.known_platforms().await.unwrap() {
        let ready = app.ready_for(&member).await.unwrap();
        let run = app.store.open_run(ready.platform.id, &wish(&[CheckName::Phone])).await.unwrap();
        let patrol = app.patrol(&ready, true);
        work.push(tokio::spawn(async move { patrol.work(Until::RunCloses(run)).await }));
        // The second platform begins when the first one's calls hang.
        until("two calls hang", async || world.wechat.arrived(Endpoint::Checkmobile) == 2).await;
    }
    let second = work.pop().unwrap().await.unwrap().unwrap().unwrap();
    assert_eq!(second.0, RunState::Complete);
    assert_eq!(world.second().answered_well(Endpoint::Checkmobile).len(), 6);
    // On a machine that stands still for ten seconds the first one's calls may be given up by now; the second's began before.
    let (hanging, others) =
        (world.wechat.arrivals(Endpoint::Checkmobile), world.second().arrivals(Endpoint::Checkmobile));
    assert!(hanging.get(2).is_none_or(|third| others[0] < *third), "the second waited for the first one's calls");
    app.stop.cancel();
    for first in work {
        assert_eq!(first.await.unwrap().unwrap().unwrap().0, RunState::Interrupted);
    }
}

#[tokio::test]
async fn an_endpoint_that_closes_for_one_platform_stays_open_for_the_other() {
    let world = World::twins(plan(20, 1)).await.with("WXPATROL_LIMIT_GETCALLBACKCONFIG", "6/day");
    let second = appid(world.second()).to_owned();
    world.program(&["platform", "add", &second, "--limit", "getcallbackconfig=unlimited"]).await;
    let ended = world.program(&["--once", "--check", "callback", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(json(&ended).iter().all(|row| row["adds_up"] == true), "{}", ended.stdout);
    let arrived = [&world.wechat, &world.others[0]].map(|platform| platform.arrived(Endpoint::Getcallbackconfig));
    assert_eq!(arrived, [6, 20]);
    let closed =
        "select p.component_appid from wxpatrol_data.closure c join wxpatrol_data.platform p using (platform_id)";
    assert_eq!(world.texts(closed).await, [appid(&world.wechat)]);
}

#[tokio::test]
async fn a_merchant_of_two_platforms_is_asked_once_by_each_and_a_pause_holds_one_of_them() {
    let world = World::twins(Plan { phone_missing_share: 1.0, ..plan(8, 1) }).await;
    let (first, second) = (appid(&world.wechat).to_owned(), appid(world.second()).to_owned());
    for arguments in [&["pause", "--check", "ask"][..], &["pause", "--merchant", &Plan::mini_program(0)]] {
        let refused = world.program(arguments).await;
        assert_eq!(refused.code, Some(2), "{}", refused.everything());
        for word in ["--platform", &first, &second] {
            assert!(refused.stderr.contains(word), "{}", refused.stderr);
        }
    }
    assert_eq!(world.count("select count(*) from wxpatrol_data.hold").await, 0);
    let paused = world.program(&["pause", "--check", "ask", "--platform", &second]).await;
    assert_eq!(paused.code, Some(0), "{}", paused.everything());
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!((world.wechat.asks().len(), world.second().asks().len()), (8, 0));
    world.program(&["resume", "--check", "ask", "--platform", &second]).await;
    for _ in 0..2 {
        let ended = world.program(&["--once"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.everything());
    }
    for platform in [&world.wechat, &world.others[0]] {
        let readout = platform.readout();
        assert_eq!((readout.asks, readout.asks_of_one_merchant_max), (8, 1));
    }
    let intents = "select count(*) from wxpatrol_data.intent where purpose = 'ask' and number = 1 and outcome = 'made'";
    assert_eq!(world.count(intents).await, 16);
}

#[tokio::test]
async fn the_day_s_cap_is_one_platform_s_own() {
    let world = World::twins(Plan { phone_missing_share: 1.0, ..plan(8, 1) }).await.with("WXPATROL_ASKS_PER_DAY", "5");
    let ended = world.program(&["--once", "--check", "phone", "--check", "ask"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!((world.wechat.asks().len(), world.second().asks().len()), (5, 5));
}

#[tokio::test]
async fn tokens_of_the_same_merchant_are_kept_apart() {
    let world = World::twins(plan(6, 1)).await;
    let ended = world.program(PHONE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    for platform in [&world.wechat, &world.others[0]] {
        let counts = platform.counts(Endpoint::Checkmobile);
        assert_eq!((counts.ok, counts.by_errcode), (6, BTreeMap::new()));
        assert_eq!(platform.refreshes().values().collect::<Vec<_>>(), [&1; 6]);
    }
    // Withdrawn from one platform, its token there is erased, and it is called on the other as before.
    world.second().withdraw(&Plan::mini_program(0)).unwrap();
    world.program(&["--once", "--check", "phone", "--all"]).await;
    let kept = format!(
        "select p.component_appid from wxpatrol_data.credential c join wxpatrol_data.platform p using (platform_id)
          where c.appid = '{}' and c.refresh_sealed is not null",
        Plan::mini_program(0)
    );
    assert_eq!(world.texts(&kept).await, [appid(&world.wechat)]);
}

#[tokio::test]
async fn a_platform_without_a_ticket_or_merchants_stops_no_other_and_is_named() {
    let world = World::several(plan(5, 1), vec![plan(5, 1).as_platform(1)]).await;
    let Plan { component_appid: second, component_appsecret, .. } = world.second().plan().clone();
    let added = world.program_reading(&["platform", "add", &second], &component_appsecret).await;
    assert_eq!(added.code, Some(0), "{}", added.everything());
    assert!(added.stderr.contains(&format!("wxpatrol ticket - --platform {second}")), "{}", added.stderr);
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(1), "{}", synced.everything());
    assert!(synced.stderr.contains(&format!("{second}: no component_verify_ticket")), "{}", synced.stderr);
    let ended = world.program(PHONE).await;
    assert_eq!(ended.code, Some(1), "{}", ended.everything());
    assert!(ended.stderr.contains(&format!("{second}: no component_verify_ticket")), "{}", ended.stderr);
    assert_eq!(world.wechat.answered_well(Endpoint::Checkmobile).len(), 5);
    let whys = "select why from wxpatrol.attention where subject = '' order by platform";
    assert_eq!(world.texts(whys).await, ["ticket_missing"]);
    world.program_reading(&["ticket", "-", "--platform", &second], &world.second().plan().verify_ticket).await;
    let ended = world.program(PHONE).await;
    assert!(ended.stderr.contains(&format!("{second}: there are no merchants yet")), "{}", ended.stderr);
    // Alone it could not start, and nothing was done.
    let alone = world.program(&["--once", "--platform", &second]).await;
    assert_eq!(alone.code, Some(2), "{}", alone.everything());
}

#[tokio::test]
async fn what_names_only_merchants_of_one_platform_needs_no_flag() {
    let world = World::several(plan(4, 2), vec![plan(6, 2).as_platform(1)]).await;
    world.add(world.second(), &[]).await;
    assert_eq!(world.program(&["sync"]).await.code, Some(0));
    // The sixth mini program is known to the second platform alone.
    let (account, alone) = pair(0, 5);
    let both = Plan::mini_program(0);
    let second = appid(world.second()).to_owned();
    let refused = world.program(&["want", &account, &both]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains("--platform"), "{}", refused.stderr);
    let wanted = world.program(&["want", &account, &alone]).await;
    assert_eq!(wanted.code, Some(0), "{}", wanted.everything());
    let paused = world.program(&["pause", "--merchant", &alone]).await;
    assert_eq!(paused.code, Some(0), "{}", paused.everything());
    let named = world.program(&["want", &account, &both, "--platform", appid(&world.wechat)]).await;
    assert_eq!(named.code, Some(0), "{}", named.everything());
    let wishes = "select p.component_appid || ' ' || w.mini_program from wxpatrol_data.wish w
                    join wxpatrol_data.platform p using (platform_id) order by 1";
    assert_eq!(world.texts(wishes).await, [format!("{} {both}", appid(&world.wechat)), format!("{second} {alone}")]);
    let held = "select p.component_appid from wxpatrol_data.hold h join wxpatrol_data.platform p using (platform_id)";
    assert_eq!(world.texts(held).await, std::slice::from_ref(&second));
    // A run for one merchant is a run of the platform that knows it.
    let once = world.program(&["--once", "--merchant", &alone, "--check", "callback", "--json"]).await;
    assert_eq!(once.code, Some(0), "{}", once.everything());
    let runs = "select p.component_appid from wxpatrol_data.run r join wxpatrol_data.platform p using (platform_id)";
    assert_eq!(world.texts(runs).await, [second]);
    for arguments in [&["import", "-", "--format", "csv"][..], &["ticket", "-"]] {
        let refused = world.program_reading(arguments, "appid\nwx1111111111111111\n").await;
        assert_eq!(refused.code, Some(2), "{}", refused.everything());
        assert!(refused.stderr.contains("--platform"), "{}", refused.stderr);
    }
    let report = world.program(&["report", "merchants", "--platform", appid(world.second()), "--json"]).await;
    let platforms: BTreeSet<String> =
        json(&report).iter().map(|row| row["platform"].as_str().unwrap().to_owned()).collect();
    assert_eq!(platforms, BTreeSet::from([appid(world.second()).to_owned()]));
}

#[tokio::test]
async fn a_platform_s_schedules_decide_what_a_run_by_hand_does_unless_it_is_named() {
    let world = World::several(plan(4, 1), vec![plan(4, 1).as_platform(1)]).await;
    world.add(world.second(), &["--schedules", "callback,sync"]).await;
    assert_eq!(world.program(&["sync"]).await.code, Some(0));
    let ended = world.program(&["--once"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let arrived = |endpoint| (world.wechat.arrived(endpoint), world.second().arrived(endpoint));
    assert_eq!(arrived(Endpoint::Getcallbackconfig), (4, 4));
    assert_eq!(world.second().arrived(Endpoint::Checkmobile), 0);
    assert!(world.wechat.arrived(Endpoint::Checkmobile) >= 4);
    let named = world.program(&["--once", "--check", "phone", "--platform", appid(world.second())]).await;
    assert_eq!(named.code, Some(0), "{}", named.everything());
    assert_eq!(world.second().arrived(Endpoint::Checkmobile), 4);
}
