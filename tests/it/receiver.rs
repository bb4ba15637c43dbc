//! Tickets and authorization events: what WeChat pushes is taken once and in its order, nothing that is forged changes a
//! row, and what follows from an event survives the process that answered it.

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use wxpatrol::{
    domain::{CheckName, ports::TokenVault as _},
    receiver::{EventKey, EventKeys, EveryPlatform, Receiver, Silence, TicketFile},
    simulate::{Endpoint, Fault, Oddity, Plan, Push, ReceiverUrl, Rule},
};

use crate::world::{Program, World, free_address, plan, until};

const HOUR: Duration = Duration::from_secs(3600);

/// The same world with a receiver on this address, and no schedule that would mix in.
fn receiving(world: World, address: &str) -> World {
    let plan = world.wechat.plan().clone();
    world
        .unattended_without_schedules()
        .with("WXPATROL_RECEIVER_ADDR", address)
        .with("WXPATROL_RECEIVER_TOKEN", &plan.event_token)
        .with("WXPATROL_RECEIVER_AES_KEY", &plan.event_aes_key)
}

/// The program at work, and WeChat told where it listens.
async fn listening(world: World, automatic: bool) -> (World, Program, String) {
    let address = free_address();
    let world = receiving(world, &address);
    let program = world.spawn(&["run"]);
    until("the receiver listens", async || TcpStream::connect(&address).await.is_ok()).await;
    let url = Some(format!("http://{address}/wechat/events"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: false, automatic }).unwrap();
    (world, program, address)
}

async fn ended(program: Program) {
    program.signal(Signal::SIGTERM);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.everything());
}

fn push(info_type: &str, appid: Option<&str>) -> Push {
    Push { info_type: info_type.to_owned(), appid: appid.map(str::to_owned), ..Push::default() }
}

async fn taken(world: &World, push: Push) {
    let pushed = world.wechat.push(&push).await.unwrap();
    assert!(pushed.taken(), "{push:?}: {pushed:?}");
}

async fn stored_ticket(world: &World) -> Option<String> {
    let ticket = world.database.store.ticket(world.platform().await).await.unwrap();
    ticket.map(|(ticket, _)| ticket.expose_secret().to_owned())
}

async fn settled(world: &World, events: usize) {
    world
        .until(&format!(
            "select count(*) filter (where state <> 'pending') >= {events} and bool_and(state <> 'pending')
               from wxpatrol_data.authorization_event"
        ))
        .await;
}

/// Everything that a push could change, as text.
async fn rows(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["platform", "merchant", "credential", "authorization_event", "taken_push", "item"] {
        rows.extend(world.texts(&format!("select t::text from wxpatrol_data.{table} t order by 1")).await);
    }
    rows
}

/// One request by hand: the status, and the body of the answer.
async fn request(address: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// A receiver in this process: where it listens, and what ends it.
async fn receiver_here(world: &World, plain_json: bool) -> (String, CancellationToken) {
    let plan = world.wechat.plan();
    let keys = EventKeys { token: plan.event_token.clone().into(), key: EventKey::parse(&plan.event_aes_key).unwrap() };
    let configured = Some((plan.component_appid.clone(), keys));
    world.platform().await;
    let ring = EveryPlatform::new(world.database.store.clone(), configured, true);
    let stop = CancellationToken::new();
    let receiver = Receiver::new(world.database.store.clone(), Arc::new(ring), plain_json, watch::channel(()).0);
    let (addr, serving) = receiver.serve(([127, 0, 0, 1], 0).into(), stop.clone()).await.unwrap();
    tokio::spawn(serving);
    let url = Some(format!("http://{addr}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json, automatic: false }).unwrap();
    (addr.to_string(), stop)
}

#[tokio::test]
async fn the_component_token_is_fetched_with_the_ticket_that_was_pushed() {
    let world = World::new(plan(5, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let (world, program, _) = listening(world, false).await;
    // It has never had a ticket, so it asks for them at once.
    until("tickets are asked for", async || world.wechat.arrived(Endpoint::ApiStartPushTicket) == 1).await;
    taken(&world, push("component_verify_ticket", None)).await;
    assert_eq!(stored_ticket(&world).await, Some(world.wechat.newest_ticket()));
    assert_ne!(world.wechat.newest_ticket(), world.wechat.plan().verify_ticket);
    ended(program).await;
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.everything());
    assert_eq!(world.wechat.component_token_fetches(), 1);
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 1);
}

#[tokio::test]
async fn a_merchant_that_authorizes_is_patrolled_by_the_next_run_with_the_token_that_came_along() {
    let world = World::new(plan(4, 1)).await;
    let new = Plan::mini_program(3);
    world.wechat.withdraw(&new).unwrap();
    world.sync().await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant").await, 4);
    let (world, program, _) = listening(world, true).await;
    world.wechat.authorize(&new).unwrap();
    settled(&world, 1).await;
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["done"]);
    let known = format!("select kind from wxpatrol_data.merchant where appid = '{new}' and nickname is not null");
    assert_eq!(world.texts(&known).await, ["mini_program"]);
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 1);
    ended(program).await;
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 4);
    assert_eq!(world.wechat.refreshes().get(&new), None, "the exchange brought a token that is good for two hours");
}

#[tokio::test]
async fn a_merchant_that_withdraws_is_skipped_its_tokens_are_gone_and_its_history_stays() {
    let world = World::synced(plan(3, 1)).await;
    world.once_of(&[CheckName::Phone]).await.assert_complete();
    let gone = Plan::mini_program(1);
    let (world, program, _) = listening(world, true).await;
    world.wechat.withdraw(&gone).unwrap();
    let withdrawn = format!("select withdrawn_at is not null from wxpatrol_data.merchant where appid = '{gone}'");
    world.until(&withdrawn).await;
    let tokens = format!(
        "select count(*) from wxpatrol_data.credential
          where appid = '{gone}' and (access_sealed is not null or refresh_sealed is not null)"
    );
    assert_eq!(world.count(&tokens).await, 0);
    ended(program).await;
    let calls = world.wechat.arrived(Endpoint::Checkmobile);
    world.pass(30 * 24 * HOUR).await;
    let ran = world.once_of(&[CheckName::Phone]).await;
    ran.assert_complete();
    assert_eq!(ran.of(CheckName::Phone).done, 2);
    assert_eq!(world.wechat.arrived(Endpoint::Checkmobile), calls + 2, "it is not called any more");
    assert_eq!(world.outcomes(CheckName::Phone).await[&gone], "skipped withdrawn");
    assert_eq!(world.count(&format!("select count(*) from wxpatrol_data.phone where appid = '{gone}'")).await, 1);
}

#[tokio::test]
async fn news_that_come_late_change_nothing() {
    let world = World::synced(plan(3, 1)).await;
    let (world, program, _) = listening(world, false).await;
    let appid = Plan::mini_program(1);
    let ago = |info_type: &str, seconds_ago: i64| Push { seconds_ago, ..push(info_type, Some(&appid)) };
    taken(&world, ago("updateauthorized", 60)).await;
    taken(&world, push("component_verify_ticket", None)).await;
    settled(&world, 1).await;
    let ticket = stored_ticket(&world).await;
    let standing = async || {
        world
            .texts(
                "select concat(m.appid, m.withdrawn_at, m.authorized_at, m.event_at, c.version, c.refresh_sealed)
                   from wxpatrol_data.merchant m left join wxpatrol_data.credential c using (platform_id, appid) order by 1",
            )
            .await
    };
    let before = standing().await;
    taken(&world, ago("unauthorized", 3_600)).await;
    taken(&world, ago("authorized", 300)).await;
    taken(&world, Push { seconds_ago: 700, ..push("component_verify_ticket", None) }).await;
    settled(&world, 3).await;
    assert_eq!(standing().await, before);
    assert_eq!(stored_ticket(&world).await, ticket);
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 1);
    ended(program).await;
}

#[tokio::test]
async fn every_fault_is_refused_with_a_4xx_and_changes_no_row() {
    let world = World::synced(plan(3, 1)).await;
    let (world, program, address) = listening(world, false).await;
    let merchant = Plan::mini_program(1);
    taken(&world, push("component_verify_ticket", None)).await;
    taken(&world, push("unauthorized", Some(&Plan::mini_program(2)))).await;
    let before = rows(&world).await;
    let faults = [
        (Fault::Replayed, 409),
        (Fault::ForgedSignature, 403),
        (Fault::WrongAppid, 403),
        (Fault::OtherPlatform, 403),
        (Fault::StaleTimestamp, 403),
        (Fault::Truncated, 400),
        (Fault::BadPadding, 400),
        (Fault::BadBase64, 400),
        (Fault::EntityExpansion, 400),
        (Fault::DeepNesting, 400),
        (Fault::MissingField, 400),
        (Fault::Oversized, 413),
    ];
    for (fault, status) in faults {
        for event in [push("unauthorized", Some(&merchant)), push("component_verify_ticket", None)] {
            if fault == Fault::Replayed && event.appid.is_none() {
                continue;
            }
            let pushed = world.wechat.push(&Push { fault: Some(fault), ..event }).await.unwrap();
            assert_eq!(pushed.status, status, "{fault:?}: {pushed:?}");
            assert!(pushed.answer.starts_with("refused: "), "{pushed:?}");
        }
    }
    let nested = format!("<xml>{}{}</xml>", "<a>".repeat(9_000), "</a>".repeat(9_000));
    let bomb = "<!DOCTYPE xml [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><xml><AppId>&b;</AppId></xml>";
    let json = format!("{{\"AppId\": \"{}\", \"InfoType\": \"unauthorized\"}}", world.wechat.plan().component_appid);
    let large = "x".repeat(3 << 20);
    for (body, expected) in
        [("", 400), ("\u{0}", 400), ("<xml>", 400), (&nested, 400), (bomb, 400), (&json, 403), (&large, 413)]
    {
        let (status, _) = request(&address, "POST /any/path?timestamp=1&nonce=2&msg_signature=3", body).await;
        assert_eq!(status, expected, "{}", &body[..body.len().min(60)]);
    }
    assert_eq!(request(&address, "GET /wechat/events", "").await.0, 405);
    assert_eq!(rows(&world).await, before);
    ended(program).await;
}

#[tokio::test]
async fn the_same_event_under_a_new_signature_is_answered_well_and_worked_on_once() {
    let world = World::synced(plan(3, 1)).await;
    let (world, program, _) = listening(world, false).await;
    let merchant = Plan::mini_program(1);
    let created_at = Some(world.database.store.now().timestamp());
    let event = Push { created_at, ..push("updateauthorized", Some(&merchant)) };
    for _ in 0..3 {
        taken(&world, event.clone()).await;
        settled(&world, 1).await;
    }
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 1);
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["done"]);
    ended(program).await;
}

/// A process that is killed between its answer and the end of the work, with the exchange under way.
async fn killed_in_mid_exchange(unheard: bool) -> World {
    let world = World::new(plan(2, 1)).await;
    let new = Plan::mini_program(1);
    world.wechat.withdraw(&new).unwrap();
    world.sync().await;
    let (world, program, _) = listening(world, false).await;
    let hang = Rule::new(Oddity::Hang).on(Endpoint::ApiQueryAuth);
    world.wechat.script(if unheard { hang.unheard() } else { hang }).unwrap();
    world.wechat.authorize(&new).unwrap();
    // The answer comes although the exchange hangs.
    taken(&world, push("authorized", Some(&new))).await;
    until("the exchange is under way", async || world.wechat.arrived(Endpoint::ApiQueryAuth) == 1).await;
    assert!(program.killed().await);
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["pending"]);
    world.wechat.clear_script();
    // Another process, which receives nothing itself; the lease of the dead one is over.
    let world = world.without("WXPATROL_RECEIVER_ADDR");
    let other = world.spawn(&["run"]);
    world.database.advance(Duration::from_secs(121)).await;
    world.wechat.advance(Duration::from_secs(121));
    settled(&world, 1).await;
    ended(other).await;
    world
}

#[tokio::test]
async fn a_kill_between_the_answer_and_the_work_loses_nothing() {
    let world = killed_in_mid_exchange(true).await;
    assert_eq!(world.texts("select state from wxpatrol_data.authorization_event").await, ["done"]);
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 2);
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 2);
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_made_up_for_by_the_merchant_s_info() {
    let world = killed_in_mid_exchange(false).await;
    let reasons = world.texts("select reason from wxpatrol_data.authorization_event where state = 'done'").await;
    assert!(reasons[0].contains("61009"), "{reasons:?}");
    let sealed = "select count(*) from wxpatrol_data.authorization_event where code_sealed is not null";
    assert_eq!(world.count(sealed).await, 0);
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 2);
}

#[tokio::test]
async fn an_exchange_that_fails_for_good_stands_in_attention_until_the_next_sync_recovers_it() {
    let world = World::new(plan(2, 1)).await;
    let new = Plan::mini_program(1);
    world.wechat.withdraw(&new).unwrap();
    world.sync().await;
    world.wechat.set_api_rights(&new, false).unwrap();
    let refused = Rule::new(Oddity::Errcode(61010)).on(Endpoint::ApiQueryAuth).of(new.as_str());
    world.wechat.script(refused).unwrap();
    let (world, program, _) = listening(world, true).await;
    world.wechat.authorize(&new).unwrap();
    settled(&world, 1).await;
    ended(program).await;
    let told =
        format!("select count(*) from wxpatrol.attention where why = 'authorization_unfinished' and subject = '{new}'");
    assert_eq!(world.count(&told).await, 1);
    world.sync().await;
    assert_eq!(world.count(&told).await, 0);
    assert_eq!(world.once_of(&[CheckName::Phone]).await.of(CheckName::Phone).done, 2);
}

#[tokio::test]
async fn an_exchange_that_fails_for_a_moment_is_tried_again() {
    let world = World::synced(plan(2, 1)).await;
    let merchant = Plan::mini_program(1);
    let busy = Rule::new(Oddity::Errcode(-1)).on(Endpoint::ApiQueryAuth).times(1);
    world.wechat.script(busy).unwrap();
    let (world, program, _) = listening(world, true).await;
    world.wechat.update_authorization(&merchant, &[17, 49]).unwrap();
    world.until("select exists (select from wxpatrol_data.authorization_event where reason like '%-1%')").await;
    world.database.advance(Duration::from_secs(6)).await;
    settled(&world, 1).await;
    assert_eq!(world.wechat.arrived(Endpoint::ApiQueryAuth), 2);
    let sets = format!("select permission_sets::text from wxpatrol_data.merchant where appid = '{merchant}'");
    assert_eq!(world.texts(&sets).await, ["{17,49}"]);
    ended(program).await;
}

#[tokio::test]
async fn a_merchant_whose_exchange_hangs_holds_up_no_other() {
    let world = World::synced(plan(4, 1)).await;
    let slow = Plan::mini_program(0);
    world.wechat.script(Rule::new(Oddity::Hang).on(Endpoint::ApiQueryAuth).of(slow.as_str())).unwrap();
    let (world, program, _) = listening(world, false).await;
    taken(&world, push("updateauthorized", Some(&slow))).await;
    until("the slow exchange is under way", async || world.wechat.arrived(Endpoint::ApiQueryAuth) == 1).await;
    for merchant in 1..4 {
        taken(&world, push("updateauthorized", Some(&Plan::mini_program(merchant)))).await;
    }
    world.until("select count(*) = 3 from wxpatrol_data.authorization_event where state = 'done'").await;
    let pending = "select appid from wxpatrol_data.authorization_event where state = 'pending'";
    assert_eq!(world.texts(pending).await, [slow]);
    assert!(program.killed().await);
}

#[tokio::test]
async fn an_hour_without_a_ticket_makes_one_of_three_processes_ask_for_them_once() {
    let world = World::new(plan(1, 1)).await;
    let mut silences = Vec::new();
    for _ in 0..3 {
        let app = world.app().await;
        let ready = app.ready().await.unwrap();
        let (store, stop) = (app.store.clone(), CancellationToken::new());
        silences.push(Silence { store, wire: ready.wire, platform: ready.platform, stop });
    }
    let look = async || {
        futures_util::future::join_all(silences.iter().map(Silence::look)).await;
        world.wechat.arrived(Endpoint::ApiStartPushTicket)
    };
    assert_eq!(look().await, 0, "the ticket is young");
    world.database.advance(HOUR + Duration::from_secs(1)).await;
    assert_eq!((look().await, look().await), (1, 1));
    // Nothing came of it; an hour later it is asked again, and a fresh ticket ends the asking.
    world.database.advance(HOUR + Duration::from_secs(1)).await;
    assert_eq!((look().await, look().await), (2, 2));
    let ticket = world.wechat.plan().verify_ticket.clone().into();
    world.database.store.keep_ticket(world.platform().await, &ticket, false).await.unwrap();
    world.database.advance(HOUR - Duration::from_secs(60)).await;
    assert_eq!(look().await, 2);
}

#[tokio::test]
async fn tickets_that_had_stopped_are_pushed_again_after_an_hour_to_three_real_processes() {
    let world = World::synced(plan(1, 1)).await;
    let (world, first, _) = listening(world, true).await;
    world.until("select ticket_created_at is not null from wxpatrol_data.platform").await;
    let others = [(); 2].map(|()| {
        let address = free_address();
        let mut settings = world.settings().clone();
        settings.insert("WXPATROL_RECEIVER_ADDR".to_owned(), address);
        world.spawn_under(&["run"], settings)
    });
    world.until("select count(*) = 3 from wxpatrol_data.process where purpose = 'run'").await;
    world.wechat.stop_tickets();
    let old = stored_ticket(&world).await;
    world.database.advance(HOUR + Duration::from_secs(1)).await;
    world.wechat.advance(HOUR + Duration::from_secs(1));
    until("tickets are asked for", async || world.wechat.arrived(Endpoint::ApiStartPushTicket) > 0).await;
    // WeChat pushes again, and nobody has a reason to ask any more.
    until("a new ticket came", async || stored_ticket(&world).await != old).await;
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 1);
    for program in others.into_iter().chain([first]) {
        ended(program).await;
    }
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 1);
}

#[tokio::test]
async fn a_ticket_file_is_read_again_when_it_changes_and_keeps_the_last_good_one_otherwise() {
    let world = World::new(plan(1, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket");
    let platform = world.platform().await;
    let mut file = TicketFile::new(world.database.store.clone(), platform, path.clone());
    assert!(file.look().await.unwrap_err().to_string().contains("can not be read"));
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("ticket@@@fake-first\n");
    assert!(file.look().await.unwrap());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-first"));
    assert!(!file.look().await.unwrap(), "nothing has changed");
    for bad in ["", "  \n", "two words", &"x".repeat(5_000)] {
        write(bad);
        assert!(file.look().await.is_err(), "{bad:?}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(file.look().await.is_err());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-first"));
    // A time from last year on the file does not make a changed ticket an old one.
    write("ticket@@@fake-second");
    let last_year = std::time::SystemTime::now() - 365 * 24 * HOUR;
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(last_year).unwrap();
    assert!(file.look().await.unwrap());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-second"));
    // Another process that sees the file for the first time believes its time: the stored one is newer.
    let mut other = TicketFile::new(world.database.another_store().await, platform, path.clone());
    write("ticket@@@fake-ancient");
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(last_year).unwrap();
    assert!(!other.look().await.unwrap());
    assert_eq!(stored_ticket(&world).await.as_deref(), Some("ticket@@@fake-second"));
}

#[tokio::test]
async fn the_program_follows_a_ticket_file_while_it_runs_and_says_so_when_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ticket");
    let shown = path.display().to_string();
    let world = World::new(plan(1, 1)).await.without("WXPATROL_VERIFY_TICKET");
    let world = world.with("WXPATROL_VERIFY_TICKET_FILE", &shown).with("WXPATROL_SCHEDULE_SYNC", "off");
    let refused = world.program(&["--once"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    assert!(refused.stderr.contains(&format!("WXPATROL_VERIFY_TICKET_FILE={shown}")), "{}", refused.stderr);
    std::fs::write(&path, &world.wechat.plan().verify_ticket).unwrap();
    let synced = world.program(&["sync"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.everything());
    let program = world.spawn(&["run"]);
    world.until("select exists (select from wxpatrol_data.process where purpose = 'run')").await;
    std::fs::write(&path, "ticket@@@fake-newer").unwrap();
    until("the newer ticket is stored", async || stored_ticket(&world).await.as_deref() == Some("ticket@@@fake-newer"))
        .await;
    assert_eq!(world.wechat.arrived(Endpoint::ApiStartPushTicket), 0, "another system owns the pushes");
    ended(program).await;
}

#[tokio::test]
async fn plain_json_is_taken_only_where_it_is_switched_on() {
    let world = World::synced(plan(3, 1)).await;
    let (address, stop) = receiver_here(&world, true).await;
    taken(&world, push("component_verify_ticket", None)).await;
    assert_eq!(stored_ticket(&world).await, Some(world.wechat.newest_ticket()));
    taken(&world, push("unauthorized", Some(&Plan::mini_program(0)))).await;
    assert_eq!(world.count("select count(*) from wxpatrol_data.merchant where withdrawn_at is not null").await, 1);
    // Sealed pushes are understood beside it.
    let url = Some(format!("http://{address}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: false, automatic: false }).unwrap();
    taken(&world, push("unauthorized", Some(&Plan::mini_program(1)))).await;
    stop.cancel();

    let before = rows(&world).await;
    let (address, _stop) = receiver_here(&world, false).await;
    let url = Some(format!("http://{address}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: true, automatic: false }).unwrap();
    let pushed = world.wechat.push(&push("unauthorized", Some(&Plan::mini_program(2)))).await.unwrap();
    assert_eq!((pushed.status, pushed.answer.as_str()), (403, "refused: plain JSON is switched off\n"));
    assert_eq!(rows(&world).await, before);
}

#[tokio::test]
async fn while_the_database_is_away_wechat_is_told_to_come_again() {
    let world = World::synced(plan(1, 1)).await;
    let (_, _stop) = receiver_here(&world, false).await;
    world.database.store.close().await;
    let pushed = world.wechat.push(&push("component_verify_ticket", None)).await.unwrap();
    assert_eq!((pushed.status, pushed.answer.as_str()), (503, "the database is away: come again\n"));
}

#[tokio::test]
async fn a_receiver_without_its_keys_is_refused_at_the_start() {
    let world = receiving(World::new(plan(1, 1)).await, "127.0.0.1:0");
    let half = world.without("WXPATROL_RECEIVER_AES_KEY");
    let ended = half.program(&["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("WXPATROL_RECEIVER_AES_KEY: (or "), "{}", ended.stderr);
    let none = half.without("WXPATROL_RECEIVER_TOKEN");
    let ended = none.program(&["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("no platform has the keys"), "{}", ended.stderr);
    let taken_address = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken_address.local_addr().unwrap().to_string();
    let world = receiving(World::new(plan(1, 1)).await, &address);
    let ended = world.program(&["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.everything());
    assert!(ended.stderr.contains("the receiver can not listen on"), "{}", ended.stderr);
}

#[tokio::test]
async fn one_address_receives_for_every_platform_with_keys_of_its_own() {
    let world = World::twins(plan(2, 1)).await;
    let (world, program, address) = listening(world, false).await;
    let second = Arc::clone(&world.others[0]);
    let url = Some(format!("http://{address}/"));
    second.set_receiver(ReceiverUrl { url, plain_json: false, automatic: false }).unwrap();
    let ticket = push("component_verify_ticket", None);
    let refused = second.push(&ticket).await.unwrap();
    assert_eq!((refused.status, refused.taken()), (403, false), "its keys are not known yet");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (token, key) = (file("token", &second.plan().event_token), file("key", &second.plan().event_aes_key));
    world.add(&second, &["--event-token-file", &token, "--event-key-file", &key]).await;
    until("the new keys are in use", async || second.push(&ticket).await.unwrap().taken()).await;
    taken(&world, ticket.clone()).await;
    let merchant = Plan::mini_program(1);
    assert!(second.push(&push("unauthorized", Some(&merchant))).await.unwrap().taken());
    let withdrawn =
        "select p.component_appid from wxpatrol_data.merchant m join wxpatrol_data.platform p using (platform_id)
                      where m.withdrawn_at is not null";
    assert_eq!(world.texts(withdrawn).await, [second.plan().component_appid.clone()]);
    let rows = world.database.store.platforms().await.unwrap();
    for platform in [&world.wechat, &second] {
        let row = rows.iter().find(|row| row.component_appid == platform.plan().component_appid).unwrap();
        let stored = world.database.store.ticket(row.id).await.unwrap().unwrap().0;
        assert_eq!(stored.expose_secret(), platform.newest_ticket());
    }
    ended(program).await;
}

#[tokio::test]
async fn while_another_system_keeps_the_tokens_no_ticket_and_no_code_is_kept_and_merchants_are_noticed() {
    let world = World::new(plan(3, 1)).await;
    let platform = world.platform().await;
    let store = &world.database.store;
    let ring = EveryPlatform::new(store.clone(), None, false);
    let stop = CancellationToken::new();
    let receiver = Receiver::new(store.clone(), Arc::new(ring), true, watch::channel(()).0);
    let (addr, serving) = receiver.serve(([127, 0, 0, 1], 0).into(), stop.clone()).await.unwrap();
    tokio::spawn(serving);
    let url = Some(format!("http://{addr}/"));
    world.wechat.set_receiver(ReceiverUrl { url, plain_json: true, automatic: false }).unwrap();
    taken(&world, push("component_verify_ticket", None)).await;
    taken(&world, push("authorized", Some(&Plan::mini_program(0)))).await;
    assert!(store.ticket(platform).await.unwrap().is_none());
    assert_eq!(store.own_tokens(platform).await.unwrap(), wxpatrol::store::foreign::OwnTokens::default());
    let noted = "select concat(state, code_sealed) from wxpatrol_data.authorization_event";
    assert_eq!(world.texts(noted).await, ["pending"]);
    assert_eq!(world.texts("select appid from wxpatrol_data.merchant").await, [Plan::mini_program(0)]);
    stop.cancel();
}

#[tokio::test]
async fn no_secret_of_a_push_shows_in_a_log_or_in_a_table() {
    for format in ["text", "json"] {
        let world = World::new(plan(2, 1)).await.with("WXPATROL_LOG", "trace").with("WXPATROL_LOG_FORMAT", format);
        let new = Plan::mini_program(1);
        world.wechat.withdraw(&new).unwrap();
        world.sync().await;
        let (world, program, _) = listening(world, false).await;
        world.wechat.authorize(&new).unwrap();
        let code = "queryauthcode@@@planted-code";
        taken(
            &world,
            Push { secret: Some("ticket@@@planted-ticket".to_owned()), ..push("component_verify_ticket", None) },
        )
        .await;
        taken(&world, Push { secret: Some(code.to_owned()), ..push("authorized", Some(&new)) }).await;
        for fault in [Fault::ForgedSignature, Fault::WrongAppid, Fault::BadPadding, Fault::MissingField] {
            world.wechat.push(&Push { fault: Some(fault), ..push("authorized", Some(&new)) }).await.unwrap();
        }
        settled(&world, 1).await;
        program.signal(Signal::SIGTERM);
        let mut places = vec![("the log".to_owned(), program.ended().await.everything())];
        assert!(places[0].1.len() > 10_000, "the log is loud");
        for table in ["platform", "merchant", "credential", "authorization_event", "taken_push"] {
            places.push((
                table.to_owned(),
                world.texts(&format!("select t::text from wxpatrol_data.{table} t")).await.join("\n"),
            ));
        }
        let plan = world.wechat.plan();
        let secrets = [
            &plan.event_token,
            &plan.event_aes_key,
            "planted-ticket",
            "planted-code",
            "sim-code-",
            "sim-rt-",
            "sim-at-",
        ];
        for (place, text) in places {
            for secret in secrets {
                let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(secret) && !text.contains(&hexadecimal), "{secret} is in {place}");
            }
        }
    }
}
