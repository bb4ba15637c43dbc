//! An unattended process over platforms that come, go, halt and get stuck.

use std::cell::RefCell;

use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use super::*;
use crate::secrets::page;

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
async fn a_platform_with_a_wrong_secret_is_named_as_halted_and_synced_as_soon_as_it_has_the_right_one() {
    let world = World::several(plan(5, 1), vec![plan(7, 1).as_platform(1)]).await;
    let (world, address) = with_status(ticking(world, &["PHONE"]).with("WXPATROL_SCHEDULE_SYNC", "30 2 * * *"));
    let second = appid(world.second()).to_owned();
    world.add(world.second(), &[]).await;
    let wrong = world.program_reading(&["platform", "add", &second], "fake-but-wrong").await;
    assert_eq!(wrong.code, Some(0), "{}", wrong.everything());
    let unattended = world.spawn(&["run"]);
    until("the server listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let ready = async || page(&address, "/readyz").await;
    until("the halt is shown", async || ready().await.contains(&format!("{second}: halted: "))).await;
    let told = format!("select detail from wxpatrol.attention where why = 'halted' and platform = '{second}'");
    let told = world.texts(&told).await.concat();
    for word in ["WXPATROL_COMPONENT_APPSECRET", "wxpatrol platform add"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    for command in [&["platform", "list"][..], &["status"]] {
        let shown = world.program(command).await;
        assert!(shown.stdout.contains("platform add"), "{}", shown.everything());
    }
    let merchants = |count: u32| {
        format!(
            "select count(*) = {count} and bool_and(p.halted_at is null)
               from wxpatrol_data.merchant m join wxpatrol_data.platform p using (platform_id)
              where p.component_appid = '{second}'"
        )
    };
    let right = world.second().plan().component_appsecret.clone();
    assert_eq!(world.program_reading(&["platform", "add", &second], &right).await.code, Some(0));
    world.until(&merchants(8)).await;
    unattended.signal(Signal::SIGTERM);
    assert_eq!(unattended.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_halted_platform_is_tried_at_once_by_a_process_that_starts_with_the_right_secret() {
    let world =
        World::new(plan(5, 1)).await.unattended_without_schedules().with("WXPATROL_SCHEDULE_SYNC", "30 2 * * *");
    let right = world.settings()["WXPATROL_COMPONENT_APPSECRET"].clone();
    let world = world.with("WXPATROL_COMPONENT_APPSECRET", "fake-but-wrong");
    let unattended = world.spawn(&["run"]);
    world.until("select halted_at is not null from wxpatrol_data.platform").await;
    unattended.signal(Signal::SIGTERM);
    assert_eq!(unattended.ended().await.code, Some(0));
    // Tries that failed have made the wait for the next long.
    let long = "update wxpatrol_data.platform set probes = 9, probe_at = wxpatrol_data.clock() + interval '30 min'";
    sqlx::query(long).execute(&world.database.pool).await.unwrap();
    let world = world.with("WXPATROL_COMPONENT_APPSECRET", &right);
    let unattended = world.spawn(&["run"]);
    world.until("select count(*) = 6 from wxpatrol_data.merchant").await;
    world.until("select halted_at is null from wxpatrol_data.platform").await;
    unattended.signal(Signal::SIGTERM);
    assert_eq!(unattended.ended().await.code, Some(0));
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
    assert_eq!(ended.code, Some(1), "{}", ended.everything());
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
