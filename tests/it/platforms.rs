//! Several platforms in one installation: each with its own credentials, merchants, limits, breaker and coverage, though
//! their merchants have the same appids; one that can not work stops no other.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::net::TcpStream;
use wxpatrol::{
    domain::CheckName,
    patrol::Until,
    simulate::{self, Endpoint, Oddity, Plan, Rule},
    store::runs::RunState,
};

use crate::{
    secrets::page,
    world::{Ended, World, free_address, pair, plan, until, wish},
};

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
        assert!(worst <= limit + limit / 4, "{worst} calls in one second of {limit}");
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
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), 2, "the other's calls hang still");
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

#[tokio::test]
async fn an_unattended_process_takes_up_an_added_platform_and_leaves_a_disabled_one() {
    let world = World::several(plan(5, 1), vec![plan(7, 1).as_platform(1)]).await;
    assert_eq!(world.program(&["sync"]).await.code, Some(0));
    let (world, address) = with_status(ticking(world, &["PHONE", "SYNC"]));
    let second = appid(world.second()).to_owned();
    let unattended = world.spawn(&["run"]);
    let ready = async || page(&address, "/readyz").await;
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    until("one platform is patrolled", async || ready().await.ends_with("\r\n\r\nready\n")).await;

    // Without a ticket it is named, and the other goes on.
    let secret = world.second().plan().component_appsecret.clone();
    assert_eq!(world.program_reading(&["platform", "add", &second], &secret).await.code, Some(0));
    until("the new platform is named", async || {
        ready().await.contains(&format!("{second}: waits: no component_verify_ticket"))
    })
    .await;
    assert!(ready().await.starts_with("HTTP/1.1 200"));
    let ticket = world.second().plan().verify_ticket.clone();
    assert_eq!(world.program_reading(&["ticket", "-", "--platform", &second], &ticket).await.code, Some(0));
    let done = format!(
        "select count(*) = 7 from wxpatrol_data.item i join wxpatrol_data.platform p using (platform_id)
          where p.component_appid = '{second}' and i.check_name = 'phone' and i.outcome = 'done'"
    );
    world.until(&done).await;
    world.assert_phones_of_its_own(world.second()).await;
    let metrics = page(&address, "/metrics").await;
    for platform in [&world.wechat, &world.others[0]] {
        for line in [
            format!("wxpatrol_platform_works{{platform=\"{}\"}} 1", appid(platform)),
            format!("wxpatrol_items_total{{platform=\"{}\",check=\"phone\",outcome=\"done\"}}", appid(platform)),
        ] {
            assert!(metrics.contains(&line), "{line} is not in {metrics}");
        }
    }

    let disabled = world.program(&["platform", "disable", &second]).await;
    assert_eq!(disabled.code, Some(0), "{}", disabled.everything());
    until("the disabled platform is named no more", async || !ready().await.contains(&second)).await;
    let runs = |of: &str| {
        format!(
            "select count(*) from wxpatrol_data.run r join wxpatrol_data.platform p using (platform_id)
              where p.component_appid = '{of}'"
        )
    };
    let (before, others) = (world.count(&runs(&second)).await, world.count(&runs(appid(&world.wechat))).await);
    let more = format!("select ({}) > {} + 2", runs(appid(&world.wechat)), others);
    world.until(&more).await;
    assert_eq!(world.count(&runs(&second)).await, before, "a disabled platform has no ticks");
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert_eq!(world.count("select count(*) from wxpatrol_data.item where leased_by is not null").await, 0);
}

#[tokio::test]
async fn the_page_of_a_halted_platform_names_the_address_that_wechat_refused() {
    let world = World::synced(plan(5, 1)).await;
    world.wechat.script(Rule::new(Oddity::Errcode(61004)).on(Endpoint::Checkmobile)).unwrap();
    let (world, address) = with_status(ticking(world, &["PHONE"]));
    let unattended = world.spawn(&["run"]);
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let ready = async || page(&address, "/readyz").await;
    until("the halt is shown", async || ready().await.contains("halted: ")).await;
    let text = ready().await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("requestIP: 192.0.2.1"), "{text}");
    for told in
        ["select detail from wxpatrol.attention where why = 'halted'", "select halt_reason from wxpatrol.platforms"]
    {
        let told = world.texts(told).await.remove(0);
        assert!(told.contains("requestIP: 192.0.2.1"), "{told}");
    }
    assert!(unattended.killed().await, "it had ended by itself");
    let halted = world.program(&["--once", "--check", "phone"]).await;
    assert_eq!(halted.code, Some(3), "{}", halted.everything());
    let last = halted.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("requestIP: 192.0.2.1 rid: ") && last.contains("allow list"), "{last}");
}

#[tokio::test]
async fn a_platform_without_a_ticket_shows_no_age_of_one() {
    let world = World::new(plan(1, 1)).await;
    let added = world.program_reading(&["platform", "add", "wx00000000000000bb"], "fake-secret").await;
    assert_eq!(added.code, Some(0), "{}", added.everything());
    let listed = json(&world.program(&["platform", "list", "--json"]).await);
    let row = listed.iter().find(|row| row["platform"] == "wx00000000000000bb").unwrap();
    assert!(row["ticket_at"].is_null() && row["ticket_age"].is_null(), "{row}");
}

#[tokio::test]
async fn an_unattended_process_is_ready_while_one_platform_is_halted_and_takes_up_what_is_changed() {
    let world = World::twins(plan(5, 1)).await;
    world.second().expire_all_tokens();
    world.second().script(Rule::new(Oddity::Errcode(61005)).on(Endpoint::ApiComponentToken)).unwrap();
    let (world, address) = with_status(ticking(world, &["PHONE", "CALLBACK"]));
    let (first, second) = (appid(&world.wechat).to_owned(), appid(world.second()).to_owned());
    let unattended = world.spawn(&["run"]);
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let ready = async || page(&address, "/readyz").await;
    until("the halt is shown", async || ready().await.contains(&format!("{second}: halted: "))).await;
    let text = ready().await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains(&format!("{first}: ready")), "{text}");
    world.until("select count(*) = 5 from wxpatrol_data.phone").await;
    let metrics = page(&address, "/metrics").await;
    for (platform, halted) in [(&first, 0), (&second, 1)] {
        let line = format!("wxpatrol_platform_halted{{platform=\"{platform}\"}} {halted}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    // A schedule that is taken from the first ticks no more; its other one goes on.
    let narrowed = world.program(&["platform", "add", &first, "--schedules", "callback"]).await;
    assert_eq!(narrowed.code, Some(0), "{}", narrowed.everything());
    let ticks = |schedule: &str| {
        format!(
            "select count(*) from wxpatrol_data.run r join wxpatrol_data.platform p using (platform_id)
              where p.component_appid = '{first}' and r.schedule = '{schedule}'
                and r.fire_at > wxpatrol_data.clock() - interval '3 s'"
        )
    };
    world.until(&format!("select ({}) = 0 and ({}) > 0", ticks("phone"), ticks("callback"))).await;
    // A limit that it is given is taken slot by slot from then on.
    assert_eq!(world.count("select count(*) from wxpatrol_data.pace where endpoint = 'getcallbackconfig'").await, 0);
    let limited = world.program(&["platform", "add", &first, "--limit", "getcallbackconfig=100/s"]).await;
    assert_eq!(limited.code, Some(0), "{}", limited.everything());
    let due_again = "update wxpatrol_data.item set due_at = wxpatrol_data.clock(), due_since = wxpatrol_data.clock()
                      where check_name = 'callback' and leased_by is null and due_at < 'infinity'";
    until("the limit is kept", async || {
        // The engine before may take what is due now; what is due then is the next one's.
        sqlx::query(due_again).execute(&world.database.pool).await.unwrap();
        world.count("select count(*) from wxpatrol_data.pace where endpoint = 'getcallbackconfig'").await == 1
    })
    .await;
    unattended.signal(Signal::SIGTERM);
    assert_eq!(unattended.ended().await.code, Some(0));
}

/// Postgres refuses every claim of the first platform, and minutes pass until the condition holds.
async fn stuck_until(world: &World, condition: impl AsyncFn() -> bool) {
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'no claims today'; end $$;
         create trigger refuse before update of leased_by on wxpatrol_data.item
           for each row when (new.platform_id = 1) execute function refuse();",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    until("minutes of being stuck have their end", async || {
        world.database.advance(Duration::from_secs(30)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        condition().await
    })
    .await;
}

#[tokio::test]
async fn a_process_whose_only_platform_is_stuck_ends_itself() {
    let world = ticking(World::synced(plan(3, 1)).await, &["PHONE"]);
    let unattended = RefCell::new(world.spawn(&["run"]));
    stuck_until(&world, async || unattended.borrow_mut().is_over()).await;
    let ended = unattended.into_inner().ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("nothing could be claimed or recorded"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_platform_that_is_stuck_begins_anew_and_ends_the_work_on_no_other() {
    let (world, address) = with_status(ticking(World::twins(plan(3, 1)).await, &["PHONE"]));
    let (first, second) = (appid(&world.wechat).to_owned(), appid(world.second()).to_owned());
    let unattended = world.spawn(&["run"]);
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let begun = async |platform: &str, times: u32| {
        let line = format!("wxpatrol_patrols_total{{platform=\"{platform}\"}} {times}\n");
        page(&address, "/metrics").await.contains(&line)
    };
    stuck_until(&world, async || begun(&first, 2).await).await;
    assert!(begun(&second, 1).await);
    let runs = format!(
        "select count(*) from wxpatrol_data.run r join wxpatrol_data.platform p using (platform_id)
          where p.component_appid = '{second}' and r.state = 'complete'"
    );
    let before = world.count(&runs).await;
    world.until(&format!("select ({runs}) > {before}")).await;
    unattended.signal(Signal::SIGTERM);
    let ended = unattended.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    assert!(ended.stderr.contains("it begins anew"), "{}", ended.stderr);
}

/// The rows that `platform` writes, as one text.
async fn rows(world: &World) -> String {
    let platforms = "select (to_jsonb(t) - 'named_at')::text from wxpatrol_data.platform t order by 1";
    let limits = "select t::text from wxpatrol_data.platform_limit t order by 1";
    [world.texts(platforms).await, world.texts(limits).await].concat().join("\n")
}

#[tokio::test]
async fn a_platform_is_added_from_files_listed_without_its_secrets_and_the_same_again_changes_nothing() {
    let world = World::new(plan(2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let key = "PlantedKeyPlantedKeyPlantedKeyPlantedKey123";
    let planted = [
        ("secret", "planted-secret-of-the-second"),
        ("ticket", "ticket@@@planted-of-the-second"),
        ("token", "plantedtoken"),
        ("key", key),
    ];
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, text) in planted {
        std::fs::write(path(name), format!("{text}\n")).unwrap();
    }
    let (secret, ticket, token, key) = (path("secret"), path("ticket"), path("token"), path("key"));
    let world = world.with("WXPATROL_LOG", "trace");
    let add = [
        "platform",
        "add",
        "wx00000000000000aa",
        "--secret-file",
        &secret,
        "--ticket-file",
        &ticket,
        "--event-token-file",
        &token,
        "--event-key-file",
        &key,
        "--nickname",
        "second shop",
        "--limit",
        "checkmobile=50/s",
        "--limit",
        "checkmobile_merchant=2/s",
        "--schedules",
        "sync,phone",
    ];
    let mut said = Vec::new();
    let added = world.program(&add).await;
    assert_eq!(added.code, Some(0), "{}", added.everything());
    let before = rows(&world).await;
    let again = world.program(&add).await;
    assert_eq!(again.code, Some(0), "{}", again.everything());
    assert!(again.stderr.contains("is as it was"), "{}", again.stderr);
    assert_eq!(rows(&world).await, before);
    let listed = world.program(&["platform", "list", "--json"]).await;
    let list = json(&listed);
    let of = |appid: &str| list.iter().find(|row| row["platform"] == appid).unwrap();
    let second = of("wx00000000000000aa");
    for (column, value) in [
        ("nickname", "second shop"),
        ("secret", "set"),
        ("event_token", "set"),
        ("event_key", "set"),
        ("limits", "checkmobile=50/s, checkmobile_merchant=2/s"),
        ("schedules", "phone sync"),
    ] {
        assert_eq!(second[column], value, "{column}");
    }
    assert!(second["ticket_age"].is_string() && second["merchants"] == 0 && second["enabled"] == true, "{second}");
    let first = of(appid(&world.wechat));
    assert_eq!((&first["secret"], &first["event_token"]), (&"set".into(), &"not set".into()));
    let changed = world.program(&["platform", "add", "wx00000000000000aa", "--limit", "checkmobile=default"]).await;
    assert!(changed.stderr.contains("is changed"), "{}", changed.stderr);
    said.extend([added, again, listed, changed].map(|ended| ended.everything()));
    for command in [&["platform", "list"][..], &["report", "platforms", "--csv"], &["status", "--json"]] {
        said.push(world.program(command).await.everything());
    }
    said.push(rows(&world).await);
    for (name, text) in planted {
        let hexadecimal: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(said.iter().all(|said| !said.contains(text) && !said.contains(&hexadecimal)), "the {name} shows");
    }
}

#[tokio::test]
async fn a_platform_that_can_not_be_added_is_refused_in_one_sentence_and_nothing_is_stored() {
    let world = World::new(plan(2, 1)).await;
    world.program(&["status"]).await;
    world.program(&["platform", "list"]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (empty, words, short, fine) = (path("empty"), path("words"), path("short"), path("fine"));
    for (name, text) in [(&empty, ""), (&words, "planted two words"), (&short, "plantedshort"), (&fine, "planted-fine")]
    {
        std::fs::write(name, text).unwrap();
    }
    let nowhere = path("nowhere");
    let new = ["platform", "add", "wx00000000000000aa"];
    let before = rows(&world).await;
    for (more, input, words) in [
        (&[][..], "", &["needs its secret", "--secret-file", "wx00000000000000aa"][..]),
        (&[], "planted two words", &["the secret", "one word"]),
        (&[], "wx1234567890planted", &["the secret", "an appid was given"]),
        (&["--secret-file", "-"], "", &["stdin is empty"]),
        (&["--secret-file", &nowhere], "", &["the secret", "nowhere", "can not be read"]),
        (&["--secret-file", &empty], "", &["the secret", "is empty"]),
        (&["--secret-file", &words], "", &["the secret", "one word"]),
        (&["--secret-file", &fine, "--event-key-file", &short], "", &["--event-key-file", "43"]),
        (&["--secret-file", &fine, "--event-token-file", &fine], "", &["--event-token-file", "letters or digits"]),
        (&["--secret-file", &words, "--ticket-file", &empty], "", &["the secret", "--ticket-file"]),
        (&["--limit", "checkmobile=5/s", "--limit", "checkmobile=6/s"], "planted-fine", &["given twice"]),
        (&["--limit", "checkmobile=fast"], "planted-fine", &["200/s"]),
        (&["--limit", "nowhere=5/s"], "planted-fine", &["checkmobile"]),
        (&["--schedules", "phones"], "planted-fine", &["phone,ask,callback,links,invite,sync"]),
        (&["planted-fine"], "", &["unexpected argument"]),
    ] {
        let ended = world.program_reading(&[&new, more].concat(), input).await;
        assert_eq!(ended.code, Some(2), "{more:?}: {}", ended.everything());
        for word in words {
            assert!(ended.stderr.contains(word), "{more:?} does not say {word:?}: {}", ended.stderr);
        }
        let echoed = more.contains(&"planted-fine");
        assert!(echoed || !ended.everything().contains("planted"), "{}", ended.everything());
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        assert_eq!(rows(&world).await, before, "{more:?} changed a row");
    }
    for arguments in [
        &["platform", "disable", "wx00000000000000bb"][..],
        &["--once", "--platform", "wx00000000000000bb"],
        &["import", "-", "--format", "csv", "--platform", "wx00000000000000bb"],
        &["status", "--platform", "wx00000000000000bb"],
    ] {
        let ended = world.program_reading(arguments, "appid\nwx1111111111111111\n").await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.everything());
        assert!(ended.stderr.contains("wx00000000000000bb is not known"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_environment_s_secret_goes_before_the_stored_one_and_a_stored_one_needs_no_environment() {
    let world = World::synced(plan(3, 1)).await;
    let first = appid(&world.wechat).to_owned();
    let stored = world.program_reading(&["platform", "add", &first], "planted-wrong-secret").await;
    assert!(stored.stderr.contains("goes before the stored secret"), "{}", stored.stderr);
    world.wechat.expire_all_tokens();
    let ended = world.program(PHONE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    let world = ["WXPATROL_COMPONENT_APPID", "WXPATROL_COMPONENT_APPSECRET", "WXPATROL_VERIFY_TICKET"]
        .into_iter()
        .fold(world, |world, name| world.without(name));
    world.wechat.expire_all_tokens();
    let ended = world.program(&["--once", "--check", "phone", "--all"]).await;
    assert_eq!(ended.code, Some(3), "{}", ended.everything());
    let right = world.wechat.plan().component_appsecret.clone();
    let mended = world.program_reading(&["platform", "add", &first], &right).await;
    assert_eq!(mended.code, Some(0), "{}", mended.everything());
    let ended = world.program(&["--once", "--check", "phone", "--all"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
    world.program(&["platform", "disable", &first]).await;
    let refused = world.program(&["--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains(&format!("wxpatrol platform enable {first}")), "{}", refused.stderr);
}
